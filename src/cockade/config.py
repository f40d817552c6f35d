"""One frozen Config, read once from COCKADE_* and passed by hand."""

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
"""What commands are told that call a service; no setting of the service itself."""
WORKER_METRICS_PORT, WORKER_METRICS_HOST = "COCKADE_WORKER_METRICS_PORT", "COCKADE_WORKER_METRICS_HOST"
"""What `cockade worker` is told beside."""
Positive = Annotated[int, Meta(ge=1)]


def default_data_dir() -> Path:
    """Where the embedded database lives: the system's place for root, the user's own for everyone else."""
    return Path("/var/lib/cockade") if os.geteuid() == 0 else platformdirs.user_data_path("cockade")


class Config(Struct, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals, after `COCKADE_`."""

    database_url: str | None = None
    """PostgreSQL 15 or newer. Unset: the embedded server in `data_dir`."""
    data_dir: Path = msgspec.field(default_factory=default_data_dir)
    """Everything that the embedded server keeps."""
    pool_size: Positive = 10
    """Database connections per worker process."""
    run_worker: Literal["auto", "on", "off"] = "auto"
    """Whether `cockade serve` runs a background worker too; auto: where the database is the embedded one."""
    worker_pool_size: Positive = 4
    """Database connections of a background worker, however much there is to do."""
    pool_timeout_s: Positive = 10
    """How long a call waits for a free connection before it is answered 503."""
    request_timeout_s: Annotated[int, Meta(ge=3)] = 30
    """How long a call may spend on the database, all in all, before it is answered 503."""
    statement_timeout_s: Positive = 60
    """The longest that one SQL statement may run."""
    lock_timeout_s: Positive = 10
    """The longest that a call waits for another one that holds its request id or its badge."""
    shutdown_timeout_s: Positive = 30
    """How long calls in flight may take to finish when the service is asked to stop."""
    max_customers_per_request: Positive = 100_000
    """The most customers that one call may name."""
    max_body_bytes: Positive = 16 * 1024 * 1024
    """The largest request body."""
    max_buffered_body_bytes: Positive = 64 * 1024 * 1024
    """Bytes of large request bodies that a worker process holds at a time; further ones wait."""
    max_audience_bytes: Positive = 4 * 1024 * 1024 * 1024
    """The largest audience of a job, unpacked."""
    job_chunk_size: Annotated[int, Meta(ge=1, le=100_000)] = 50_000
    """Customers that a job decides about in one transaction."""
    job_chunk_delay_ms: Annotated[int, Meta(ge=0)] = 0
    """How long a job rests between two of these, for the sake of others."""
    job_file_retention_days: Positive = 30
    """How long the files of a job that has ended can be had; what it decided is kept."""
    body_timeout_s: Positive = 60
    """How long a request body may take to arrive before it is answered 408."""
    login_failures_per_username: Positive = 10
    """Wrong secrets that a name may be given within `guess_window_s`, before even right ones are refused."""
    login_failures_per_ip: Positive = 100
    """The same for an address, whatever the names."""
    login_failure_window_s: Positive = 300
    """How long a wrong secret counts."""
    rate_limit_per_minute: Positive | None = None
    """Calls that each credential may make in a minute; unset: as many as it likes."""
    event_retention_days: Positive = 30
    """How far the feed of events goes back; what is older is deleted."""
    webhook_allowed_networks: str = ""
    """Private networks that webhooks may be delivered to, separated by commas; to those also without TLS."""
    webhook_timeout_s: Positive = 10
    """How long a receiver may take to answer."""
    webhook_disable_after_h: Positive = 72
    """A webhook whose next event could not be delivered for so long is disabled."""
    webhook_log_retention_days: Positive = 7
    """How long attempts stay in the delivery log."""
    idempotency_ttl_s: Positive = 24 * 60 * 60
    """How long a call with an idempotency key is answered as it was the first time."""
    trusted_proxies: str = ""
    """Networks of the proxies that may say whom they speak for, separated by commas."""
    proxy_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """Where they say it; the other header is not looked at."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log line that is written."""
    log_format: Literal["json", "text"] = "json"
    """One JSON object per line, or lines for people."""


def from_environment(environment: Mapping[str, str] = os.environ) -> Config:
    """Read the configuration; an empty variable counts as unset.

    Raises SetupError naming the variable that cannot be read.
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
                raise SetupError(f"{variable}={text!r} cannot be used: {allowed}.") from None
    return Config(**values)  # pyright: ignore[reportArgumentType]


def read_networks(setting: str, text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """What a setting lists, separated by commas. Raises SetupError naming the setting."""
    try:
        return tuple(ip_network(word.strip()) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise SetupError(f"{PREFIX}{setting.upper()} cannot be used: {error}.") from None


def unknown(environment: Mapping[str, str]) -> list[str]:
    """The COCKADE_ variables that no setting is named by: perhaps misspelt."""
    known = {PREFIX + field.name.upper() for field in msgspec.structs.fields(Config)}
    known |= OF_CLIENTS | {WORKER_METRICS_PORT, WORKER_METRICS_HOST}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
