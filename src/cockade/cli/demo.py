"""The `cockade demo` command."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cockade import clock
from cockade.errors import SetupError
from cockade.http.urls import BASE_PATH
from cockade.times import iso

START_S_MAX = 30.0
STOP_S_MAX = 30.0
SERVE_ORIGIN = "http://127.0.0.1:8080"
"""Default address of `cockade serve`."""
FIRST_CUSTOMER = 553_000_001


def demo(
    customers: Annotated[
        int, typer.Option(min=2, max=100_000, help="Number of customers that get the badge.")
    ] = 10_000,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the service running until Ctrl-C.")] = False,
) -> None:
    """Run a demo: create and claim a badge and issue it to 10,000 customers over HTTP.

    The demo starts its own service and database in a temporary directory, which is deleted at the end.
    """
    console = Console(highlight=False)
    with _temporary_directory() as data_dir, _progress(console) as progress:
        step = progress.add_task("Starting the service and its database", total=5)
        with _service(data_dir) as (origin, environment):
            progress.update(step, advance=1, description="Creating an org and a credential")
            org = _command(environment, "org", "create", "Demo")
            credential = _command(
                environment, "credential", "create", "--org", str(org["orgId"]), "--name", "demo"
            )
            with httpx.Client(
                base_url=origin + BASE_PATH, auth=(credential["username"], credential["secret"]), timeout=60
            ) as client:
                progress.update(step, advance=1, description="Creating and claiming a badge")
                badge_id = _make_badge(client)
                progress.update(
                    step, advance=1, description=f"Issuing it to {customers:,} customers in one request"
                )
                body = _earn_bulk(badge_id, customers)
                started = time.perf_counter()
                answer = _call(client, body)
                seconds = time.perf_counter() - started
                progress.update(step, advance=1, description="Repeating the request")
                again = client.post("/customer/earnBulk", json=body).json()
                held = _call(client, {**body, "requestId": "demo-2"})
                progress.update(step, advance=1, description="Done")
            progress.stop()
            _tell(console, answer, again, held, seconds)
            _tell_next(console, origin if keep else SERVE_ORIGIN, credential, badge_id, keep=keep)
            if keep:
                _wait(console)


def _make_badge(client: httpx.Client) -> str:
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    badge = {
        "name": "Sock Collector",
        "startOn": iso(today),
        "expiresOn": iso(today + timedelta(days=365)),
        "earnType": "EARN",
        "earnedBadgeExpiry": {"expiryType": "RELATIVE", "relativeExpirytype": "MONTHS", "value": 12},
        "ownership": {"restrictedToOwners": ["Loyalty"]},
    }
    badge_id = client.post("/badgeMeta", json=badge).raise_for_status().json()["data"]["id"]
    claim = {"ownerType": "Loyalty", "referenceId": "123457"}
    client.post(f"/badgeMeta/{badge_id}/claim", json=claim).raise_for_status()
    return badge_id


def _earn_bulk(badge_id: str, customers: int) -> dict[str, Any]:
    return {
        "badgeMetaId": badge_id,
        "customerIds": list(range(FIRST_CUSTOMER, FIRST_CUSTOMER + customers)),
        "requestId": "demo-1",
        "triggeredBy": {"ownerType": "Loyalty", "referenceId": "123457"},
    }


def _call(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    return client.post("/customer/earnBulk", json=body).raise_for_status().json()["data"]


def _tell(
    console: Console, answer: dict[str, Any], again: dict[str, Any], held: dict[str, Any], seconds: float
) -> None:
    """Print the first entries, the rate, and the results of the two repeated requests."""
    earned, entries = answer["earnedCount"], answer["issuedBadges"]
    console.print(
        f"\n[bold green]{earned:,} customers got the badge in one request[/], {answer['failedCount']} did not:"
    )
    console.print_json(msgspec.json.encode({**answer, "issuedBadges": entries[:3]}).decode())
    console.print(f"[dim]… and {max(0, len(entries) - 3):,} more entries, in the order sent.[/]")
    console.print(
        f"[bold]{seconds * 1000:.0f} ms: {earned / seconds:,.0f} customers per second[/], committed to disk.\n"
    )
    console.print("A request with the same requestId is rejected, so a retry cannot issue twice:")
    console.print_json(msgspec.json.encode(again["errors"]).decode())
    console.print(
        "A new request for the same customers fails for each one, because they hold the badge already:"
    )
    console.print_json(msgspec.json.encode(held["issuedBadges"][0]).decode())


def _tell_next(
    console: Console, origin: str, credential: dict[str, Any], badge_id: str, *, keep: bool
) -> None:
    user = f"{credential['username']}:{credential['secret']}" if keep else "admin:SECRET"
    body = {**_earn_bulk(badge_id if keep else "BADGE_ID", 2), "customerIds": [1, 2], "requestId": "mine-1"}
    curl = f"curl -u {user} {origin}{BASE_PATH}/customer/earnBulk -d '{msgspec.json.encode(body).decode()}'"
    steps = [
        (
            "[bold]make serve[/]",
            "start a permanent service; it prints a credential and a curl command that creates a badge",
        ),
        ("[bold]cockade demo --keep[/]", "run this demo and keep the service running"),
        (f"[bold]{origin}/docs[/]", "API documentation (while the service runs)"),
        ("[bold]docs/tutorial/quickstart.md[/]", "create and issue your own badge, step by step"),
    ]
    console.print("\n[bold]Next[/]")
    for what, why in steps[2:] if keep else steps:
        console.print(f"  {what}  {why}", soft_wrap=True)
    console.print("\nTry a request:\n")
    console.print(f"  {curl}\n", soft_wrap=True, markup=False)


def _wait(console: Console) -> None:
    console.print("The service runs until Ctrl-C.")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


@contextmanager
def _temporary_directory() -> Generator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="cockade-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    )


@contextmanager
def _service(data_dir: Path) -> Generator[tuple[str, dict[str, str]]]:
    """Run `cockade serve`. Yield its URL and the environment for other commands."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COCKADE_")}
    environment["COCKADE_DATA_DIR"] = str(data_dir)
    port = _free_port()
    origin = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "cockade", "serve", "--port", str(port), "--workers", "1"]
    log_file = data_dir / "service.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _await_ready(process, origin, log_file)
        yield origin, environment
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], origin: str, log_file: Path) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{origin}/readyz", timeout=5).status_code == 200:
                return
        time.sleep(0.05)
    raise SetupError(f"The service did not start. Its log:\n{log_file.read_text()}")


def _command(environment: dict[str, str], *words: str) -> dict[str, Any]:
    """Run a cockade command and read its JSON."""
    command = [sys.executable, "-m", "cockade", *words, "--json"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SetupError(result.stderr.strip())
    return msgspec.json.decode(result.stdout)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
