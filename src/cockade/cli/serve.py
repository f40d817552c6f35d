"""The `cockade serve` command."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import multiprocessing
import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from cockade import app, clock, config, logs, metrics
from cockade.auth.model import NewCredential
from cockade.cli.server import ResilientServer
from cockade.cli.services import database_url, prepare
from cockade.cli.worker import working_beside
from cockade.config import Config
from cockade.errors import SetupError
from cockade.http.client_ip import TrustedProxies
from cockade.http.urls import BASE_PATH
from cockade.times import iso

log = structlog.get_logger()

WORKERS_DEFAULT = min(4, os.cpu_count() or 1)
CONNECTIONS_MAX = 512
"""Maximum open connections per worker. More connections wait to be accepted."""
HEAD_MS_MAX = 30_000
"""Timeout for the request line and headers, and for idle connections."""
HEAD_BYTES_MAX = 128 * 1024
"""Maximum size of the request line and headers. With CONNECTIONS_MAX, it bounds the memory used for them per
worker.
"""
GRANIAN_LOGGING: dict[str, Any] = {"loggers": {"_granian": {"handlers": [], "propagate": True}}}
"""Route granian's own log lines to our root logger."""


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Worker processes.")] = WORKERS_DEFAULT,
    tls_cert: Annotated[Path | None, typer.Option(exists=True, help="TLS certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(exists=True, help="TLS private key (PEM).")] = None,
) -> None:
    """Run the API server until SIGTERM or Ctrl-C.

    Without COCKADE_DATABASE_URL, it starts an embedded PostgreSQL server with its data in COCKADE_DATA_DIR.
    """
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key must be used together.")
    settings = config.from_environment()
    logs.configure(settings)
    for name in config.unknown(os.environ):
        log.warning("unknown setting ignored", action="serve.check", variable=name)
    TrustedProxies.from_config(settings)  # fail here, before workers start
    _require_free(host, port)
    if tls_cert is None and not _is_loopback(host):
        log.warning(
            "listening on a non-loopback address without TLS: secrets are sent unencrypted",
            action="serve.check",
        )
    origin = f"{'http' if tls_cert is None else 'https'}://{_url_host(host)}:{port}"
    with database_url(settings, serving=True) as url, metrics.shared_directory():
        asyncio.run(prepare(url, settings))
        if settings.database_url is None:
            _welcome(asyncio.run(_first_credential(url, settings)), origin)
        # Workers read the configuration from the environment. They are spawned, not forked: this process has
        # threads, and a lock held by a thread would stay locked in a fork.
        multiprocessing.set_start_method("spawn", force=True)
        os.environ[config.PREFIX + "DATABASE_URL"] = url
        log.info("serving", action="serve.start", url=origin, workers=workers, docs=f"{origin}/docs")
        server = ResilientServer(
            "cockade.app:create_worker_app",
            factory=True,
            interface=Interfaces.ASGI,
            address=host,
            port=port,
            workers=workers,
            loop=Loops.uvloop,
            websockets=False,
            # With HTTP/2 detection, the server has no timeout for connections that send nothing.
            http=HTTPModes.http1,
            backpressure=CONNECTIONS_MAX,
            http1_settings=HTTP1Settings(header_read_timeout=HEAD_MS_MAX, max_buffer_size=HEAD_BYTES_MAX),
            respawn_failed_workers=True,
            workers_kill_timeout=settings.shutdown_timeout_s,
            log_level=LogLevels.error,
            log_dictconfig=GRANIAN_LOGGING,
            ssl_cert=tls_cert,
            ssl_key=tls_key,
        )
        with working_beside(settings):
            server.serve()
        log.info("stopped", action="serve.stop")


async def _first_credential(url: str, settings: Config) -> NewCredential | None:
    """Create an org and a credential in an empty database. Return None if there is an org."""
    async with app.running_services(url, settings) as services:
        if await services.auth.list_orgs():
            return None
        org = await services.auth.create_org("default", "UTC")
        return await services.auth.create_credential(org.org_id, "admin")


def _welcome(credential: NewCredential | None, origin: str) -> None:
    """Print the first credential to standard output, separate from the log."""
    if credential is None:
        return
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    insecure = " -k" if origin.startswith("https") else ""
    typer.echo(
        f"""
The database was empty. Created org {credential.org_id} and its first credential. The secrets are shown only once:

  username       {credential.username}
  secret         {credential.secret}
  client key     {credential.client_key}
  client secret  {credential.client_secret}

When the service is ready, create a badge with:

  curl{insecure} -u {credential.username}:{credential.secret} {origin}{BASE_PATH}/badgeMeta -d '{{
    "name": "First badge", "startOn": "{iso(today)}", "expiresOn": "{iso(today + timedelta(days=3650))}",
    "earnType": "EARN", "earnedBadgeExpiry": {{"expiryType": "NEVER"}},
    "ownership": {{"restrictedToOwners": ["Loyalty"]}}}}'

For the next steps, see docs/tutorial/quickstart.md.
"""
    )


def _require_free(host: str, port: int) -> None:
    """Raise SetupError if the address is not available."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "the port is in use; choose another with --port" if taken else error.strerror
        raise SetupError(f"Cannot listen on {host}:{port}: {reason}.") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
