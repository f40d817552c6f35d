"""The command line. Commands read their settings from COCKADE_* environment variables; each one has `--help`."""

from __future__ import annotations

import sys

import typer

from cockade import __version__
from cockade.cli import audit, credential, db, demo, issue, org, serve, signing_key, undo, webhook, worker
from cockade.errors import CockadeError

app = typer.Typer(
    help="Issue loyalty badges to customers in bulk, each exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("demo")(demo.demo)
app.command("issue")(issue.issue)
app.command("undo")(undo.undo)
app.command("audit")(audit.audit)
app.add_typer(org.app, name="org")
app.add_typer(credential.app, name="credential")
app.add_typer(signing_key.app, name="signing-key")
app.add_typer(webhook.app, name="webhook")
app.add_typer(db.app, name="db")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cockade {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Issue loyalty badges to customers in bulk, each exactly once."""


def main() -> None:
    """Run a command. A CockadeError is printed as one line, with exit status 1."""
    try:
        app()
    except CockadeError as error:
        typer.secho(f"cockade: {error.text}", err=True, fg="red")
        sys.exit(1)
