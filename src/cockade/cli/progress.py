"""Options, exit statuses and progress display of commands that wait for a running service."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cockade.cli.job_client import Answer

STOPPED = 4
"""Exit status: the job or undo is paused, cancelled or failed."""
INTERRUPTED = 130
LOOK_S = 0.5
LINE_S = 5.0
"""Interval between progress lines if there is no terminal."""

UrlOption = Annotated[str, typer.Option(envvar="COCKADE_URL", help="Base URL of the service.")]
UsernameOption = Annotated[str, typer.Option(envvar="COCKADE_USERNAME", help="Username of the credential.")]
SecretOption = Annotated[
    str,
    typer.Option(
        envvar="COCKADE_SECRET",
        help="Secret of the credential. Use the environment variable rather than the option.",
    ),
]
DEFAULT_URL = "http://127.0.0.1:8080"


class ProgressReporter:
    """Display progress: bars on a terminal, otherwise a line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            TextColumn("{task.percentage:>5.1f} %  {task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._said_s = 0.0

    def start(self) -> None:
        """Start the display."""
        self._bars.start()

    def stop(self) -> None:
        """Stop the display."""
        self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def wait(self, cause: str) -> None:
        """Report that the service is not available."""
        self._line(f"The service is not available ({cause}); retrying.")

    def sent(self, count: int, total: int) -> None:
        """Report the upload progress in bytes."""
        self._bar("sending", count, total, "")
        if count:
            self._line(f"sent {count} of {total} bytes")

    def decided(self, job: Answer) -> None:
        """Report the progress of the job."""
        counts, rate = job["counts"], job["ratePerSecond"]
        speed = "" if rate is None else f"{rate:,.0f}/s"
        self._bar("issuing", counts["decided"], counts["lines"], speed)
        left = "" if job["secondsLeft"] is None else f", {job['secondsLeft']:.0f} s left"
        line = f"{job['state']}: {job['percentage']} %, {counts['decided']} of {counts['lines']} lines"
        self._line(f"{line}{', ' if speed else ''}{speed}{left}")

    def undone(self, undoing: Answer) -> None:
        """Report the progress of the undo."""
        count, total = undoing["doneCount"], undoing["totalCount"]
        self._bar("undoing", count, total, f"{undoing['revoked']:,} revoked")
        self._line(f"{undoing['state']}: {undoing['percentage']} %, {undoing['revoked']} revoked")

    def _bar(self, name: str, count: int, total: int, rate: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, rate=rate)
        self._bars.update(self._tasks[name], completed=count, total=total, rate=rate)

    def _line(self, text: str) -> None:
        now_s = time.monotonic()
        if not self._console.is_terminal and now_s - self._said_s >= LINE_S:
            self._said_s = now_s
            self.say(text)


@contextmanager
def showing_progress() -> Generator[ProgressReporter]:
    """Show progress on standard error. Only the summary is printed on standard output."""
    shown = ProgressReporter(Console(file=sys.stderr))
    shown.start()
    try:
        yield shown
    finally:
        shown.stop()
