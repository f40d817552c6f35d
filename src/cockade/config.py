"""Configuration, read once from COCKADE_* variables and passed as an argument."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import msgspec
import platformdirs
from msgspec import Meta, Struct

from cockade.errors import SetupError

PREFIX = "COCKADE_"
OF_CLIENTS = {"COCKADE_URL", "COCKADE_USERNAME", "COCKADE_SECRET"}
"""Variables of commands that call a service. They are not settings of the service."""
WORKER_METRICS_PORT, WORKER_METRICS_HOST = "COCKADE_WORKER_METRICS_PORT", "COCKADE_WORKER_METRICS_HOST"
"""Variables of `cockade worker` only."""
Positive = Annotated[int, Meta(ge=1)]


def default_data_dir() -> Path:
    """Return the default data directory: a system directory for root, otherwise the user's data directory."""
    return Path("/var/lib/cockade") if os.geteuid() == 0 else platformdirs.user_data_path("cockade")


class Config(Struct, frozen=True, kw_only=True):
    """Each field is an environment variable: its name in upper case with the prefix `COCKADE_`."""

    database_url: str | None = None
    """URL of PostgreSQL 15 or newer. Unset: the embedded server in `data_dir`."""
    data_dir: Path = msgspec.field(default_factory=default_data_dir)
    """Directory with the data of the embedded server."""
    pool_size: Positive = 10
    """Database connections per worker process."""
    run_worker: Literal["auto", "on", "off"] = "auto"
    """Whether `cockade serve` also runs a background worker. auto: only on the embedded database."""
    worker_pool_size: Positive = 4
    """Database connections of a background worker."""
    pool_timeout_s: Positive = 10
    """Maximum wait for a free connection before a request gets 503."""
    request_timeout_s: Annotated[int, Meta(ge=3)] = 30
    """Maximum database time of a request before it gets 503."""
    statement_timeout_s: Positive = 60
    """Maximum duration of one SQL statement."""
    lock_timeout_s: Positive = 10
    """Maximum wait for another request that holds the request id or the badge."""
    shutdown_timeout_s: Positive = 30
    """Maximum time for running requests during a shutdown."""
    max_customers_per_request: Positive = 100_000
    """Maximum number of customers in one request."""
    max_body_bytes: Positive = 16 * 1024 * 1024
    """Maximum size of a request body."""
    max_buffered_body_bytes: Positive = 64 * 1024 * 1024
    """Maximum bytes of large request bodies in memory per worker process. Further requests wait."""
    max_audience_bytes: Positive = 4 * 1024 * 1024 * 1024
    """Maximum size of the audience of a job, uncompressed."""
    job_chunk_size: Annotated[int, Meta(ge=1, le=100_000)] = 50_000
    """Customers that a job decides in one transaction."""
    job_chunk_delay_ms: Annotated[int, Meta(ge=0)] = 0
    """Pause of a job between two chunks, to reduce background load."""
    job_file_retention_days: Positive = 30
    """Days for which the files of an ended job are kept. Its outcome is kept forever."""
    body_timeout_s: Positive = 60
    """Maximum time for a request body to arrive before the request gets 408."""
    login_failures_per_username: Positive = 10
    """Failed sign-ins per username within `login_failure_window_s` before further attempts get 429."""
    login_failures_per_ip: Positive = 100
    """Failed sign-ins per IP address, over all usernames."""
    login_failure_window_s: Positive = 300
    """Time for which a failed sign-in counts."""
    rate_limit_per_minute: Positive | None = None
    """Maximum requests per credential and minute. Unset: no limit."""
    event_retention_days: Positive = 30
    """Days for which events are kept in the feed."""
    webhook_allowed_networks: str = ""
    """Private networks to which webhooks may be delivered, also without TLS. Comma-separated."""
    webhook_timeout_s: Positive = 10
    """Maximum time for a webhook receiver to respond."""
    webhook_disable_after_h: Positive = 72
    """Hours after which a webhook is disabled if its next event cannot be delivered."""
    webhook_log_retention_days: Positive = 7
    """Days for which delivery attempts are kept in the log."""
    idempotency_ttl_s: Positive = 24 * 60 * 60
    """Time for which a retry with the same idempotency key returns the first response."""
    trusted_proxies: str = ""
    """Networks of reverse proxies whose forwarding header is trusted. Comma-separated."""
    proxy_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """The header that trusted proxies set. The other one is ignored."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum level of log lines."""
    log_format: Literal["json", "text"] = "json"
    """json: one object per line. text: readable lines."""


def from_environment(environment: Mapping[str, str] = os.environ) -> Config:
    """Read the configuration. An empty variable counts as unset.

    Raises SetupError with the name of an invalid variable.
    """
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(Config):
        variable = PREFIX + field.name.upper()
        if text := environment.get(variable):
            try:
                values[field.name] = (
                    Path(text) if field.type is Path else msgspec.convert(text, field.type, strict=False)
                )
            except msgspec.ValidationError as error:
                allowed = (
                    f"one of {', '.join(get_args(field.type))}"
                    if get_origin(field.type) is Literal
                    else error
                )
                raise SetupError(f"{variable}={text!r} is invalid: {allowed}.") from None
    return Config(**values)  # pyright: ignore[reportArgumentType]


def read_networks(setting: str, text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks in a comma-separated setting. Raises SetupError with the name of the setting."""
    try:
        return tuple(ip_network(word.strip()) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise SetupError(f"{PREFIX}{setting.upper()} is invalid: {error}.") from None


def unknown(environment: Mapping[str, str]) -> list[str]:
    """Return COCKADE_ variables that match no setting, and may be misspelt."""
    known = {PREFIX + field.name.upper() for field in msgspec.structs.fields(Config)}
    known |= OF_CLIENTS | {WORKER_METRICS_PORT, WORKER_METRICS_HOST}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
