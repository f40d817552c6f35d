"""`cockade serve`"""

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
"""Connections that a worker has open at a time; further ones wait to be accepted. A slow sender holds only her own."""
HEAD_MS_MAX = 30_000
"""How long the line and headers of a request may take, and how long a connection may be idle between requests."""
HEAD_BYTES_MAX = 128 * 1024
"""The largest head of a request; times connections, it bounds what senders of headers make a worker hold."""
GRANIAN_LOGGING: dict[str, Any] = {"loggers": {"_granian": {"handlers": [], "propagate": True}}}
"""The server's few own lines go the way of all others."""


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Worker processes.")] = WORKERS_DEFAULT,
    tls_cert: Annotated[Path | None, typer.Option(exists=True, help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(exists=True, help="Private key, PEM.")] = None,
) -> None:
    """Serve the badges API until SIGTERM or Ctrl-C.

    Without COCKADE_DATABASE_URL it runs a PostgreSQL of its own, in COCKADE_DATA_DIR.
    """
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together.")
    settings = config.from_environment()
    logs.configure(settings)
    for name in config.unknown(os.environ):
        log.warning("no such setting; it is ignored", action="serve.check", variable=name)
    TrustedProxies.from_config(settings)  # here rather than in each worker
    _require_free(host, port)
    if tls_cert is None and not _is_loopback(host):
        log.warning(
            "listening beyond loopback without TLS: secrets travel in the clear", action="serve.check"
        )
    origin = f"{'http' if tls_cert is None else 'https'}://{_url_host(host)}:{port}"
    with database_url(settings, serving=True) as url, metrics.shared_directory():
        asyncio.run(prepare(url, settings))
        if settings.database_url is None:
            _welcome(asyncio.run(_first_credential(url, settings)), origin)
        # Workers are processes of their own and read the configuration from the environment, as we did. They are not
        # forked: this process has threads by now, and a lock that one of them holds would stay locked in the fork.
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
            # Where it also had to recognize HTTP/2, the server would wait for ever for who connects and says nothing.
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
    """An org and a credential for an empty database; None where there is an org already."""
    async with app.running_services(url, settings) as services:
        if await services.auth.list_orgs():
            return None
        org = await services.auth.create_org("default", "UTC")
        return await services.auth.create_credential(org.org_id, "admin")


def _welcome(credential: NewCredential | None, origin: str) -> None:
    """Printed once, on standard output, apart from the log."""
    if credential is None:
        return
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    insecure = " -k" if origin.startswith("https") else ""
    typer.echo(
        f"""
The database was empty, so org {credential.org_id} and its first credential were made. The secrets are shown only now:

  username       {credential.username}
  secret         {credential.secret}
  client key     {credential.client_key}
  client secret  {credential.client_secret}

Once the service is up, this creates a badge:

  curl{insecure} -u {credential.username}:{credential.secret} {origin}{BASE_PATH}/badgeMeta -d '{{
    "name": "First badge", "startOn": "{iso(today)}", "expiresOn": "{iso(today + timedelta(days=3650))}",
    "earnType": "EARN", "earnedBadgeExpiry": {{"expiryType": "NEVER"}},
    "ownership": {{"restrictedToOwners": ["Loyalty"]}}}}'

docs/quickstart.md goes on from there.
"""
    )


def _require_free(host: str, port: int) -> None:
    """Raise SetupError, before anything is started, where the address cannot be listened on."""
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
