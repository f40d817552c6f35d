"""Configuration: defaults, environment variables, and rejection of invalid values."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import msgspec
import pytest

from cockade.config import Config, from_environment, read_networks
from cockade.errors import SetupError
from cockade.storage.database import session_settings

DEFAULTS = {
    "database_url": None,
    "pool_size": 10,
    "run_worker": "auto",
    "worker_pool_size": 4,
    "pool_timeout_s": 10,
    "request_timeout_s": 30,
    "statement_timeout_s": 60,
    "lock_timeout_s": 10,
    "shutdown_timeout_s": 30,
    "max_customers_per_request": 100_000,
    "max_body_bytes": 16 * 1024 * 1024,
    "max_buffered_body_bytes": 64 * 1024 * 1024,
    "max_audience_bytes": 4 * 1024**3,
    "job_chunk_size": 50_000,
    "job_chunk_delay_ms": 0,
    "job_file_retention_days": 30,
    "body_timeout_s": 60,
    "login_failures_per_username": 10,
    "login_failures_per_ip": 100,
    "login_failure_window_s": 300,
    "rate_limit_per_minute": None,
    "event_retention_days": 30,
    "webhook_allowed_networks": "",
    "webhook_timeout_s": 10,
    "webhook_disable_after_h": 72,
    "webhook_log_retention_days": 7,
    "idempotency_ttl_s": 86_400,
    "trusted_proxies": "",
    "proxy_header": "x-forwarded-for",
    "log_level": "info",
    "log_format": "json",
}


def test_defaults_apply_without_variables() -> None:
    read = msgspec.structs.asdict(from_environment({"PATH": "/bin", "COCKADE_UNKNOWN": "1"}))
    assert isinstance(read.pop("data_dir"), Path)
    assert read == DEFAULTS


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("COCKADE_DATABASE_URL", "postgresql://a@b/c", "postgresql://a@b/c"),
        ("COCKADE_DATA_DIR", "data", Path("data")),
        ("COCKADE_POOL_SIZE", "3", 3),
        ("COCKADE_POOL_TIMEOUT_S", "3", 3),
        ("COCKADE_REQUEST_TIMEOUT_S", "3", 3),
        ("COCKADE_STATEMENT_TIMEOUT_S", "3", 3),
        ("COCKADE_LOCK_TIMEOUT_S", "3", 3),
        ("COCKADE_MAX_CUSTOMERS_PER_REQUEST", "1000000", 1_000_000),
        ("COCKADE_MAX_BODY_BYTES", "1", 1),
        ("COCKADE_MAX_BUFFERED_BODY_BYTES", "1", 1),
        ("COCKADE_BODY_TIMEOUT_S", "1", 1),
        ("COCKADE_LOGIN_FAILURES_PER_USERNAME", "3", 3),
        ("COCKADE_LOGIN_FAILURES_PER_IP", "3", 3),
        ("COCKADE_LOGIN_FAILURE_WINDOW_S", "3", 3),
        ("COCKADE_RATE_LIMIT_PER_MINUTE", "600", 600),
        ("COCKADE_EVENT_RETENTION_DAYS", "3", 3),
        ("COCKADE_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8", "127.0.0.0/8"),
        ("COCKADE_WEBHOOK_TIMEOUT_S", "3", 3),
        ("COCKADE_WEBHOOK_DISABLE_AFTER_H", "3", 3),
        ("COCKADE_WEBHOOK_LOG_RETENTION_DAYS", "3", 3),
        ("COCKADE_IDEMPOTENCY_TTL_S", "60", 60),
        ("COCKADE_TRUSTED_PROXIES", "10.0.0.0/8, ::1", "10.0.0.0/8, ::1"),
        ("COCKADE_PROXY_HEADER", "forwarded", "forwarded"),
        ("COCKADE_LOG_LEVEL", "debug", "debug"),
        ("COCKADE_LOG_FORMAT", "text", "text"),
    ],
)
def test_each_field_is_read_from_its_variable(variable: str, text: str, expected: object) -> None:
    field = variable.removeprefix("COCKADE_").lower()
    assert getattr(from_environment({variable: text}), field) == expected


def test_every_field_has_a_default_and_a_row() -> None:
    assert {*DEFAULTS, "data_dir"} == {field.name for field in msgspec.structs.fields(Config)}


@pytest.mark.parametrize("field", sorted({*DEFAULTS, "data_dir"}))
def test_empty_variable_counts_as_unset(field: str) -> None:
    assert getattr(from_environment({f"COCKADE_{field.upper()}": ""}), field) == getattr(Config(), field)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("COCKADE_POOL_SIZE", "ten"),
        ("COCKADE_POOL_SIZE", "0"),
        ("COCKADE_POOL_SIZE", "-1"),
        ("COCKADE_POOL_SIZE", "1.5"),
        ("COCKADE_POOL_TIMEOUT_S", "0"),
        ("COCKADE_STATEMENT_TIMEOUT_S", "1m"),
        ("COCKADE_LOCK_TIMEOUT_S", "0"),
        ("COCKADE_MAX_CUSTOMERS_PER_REQUEST", "many"),
        ("COCKADE_MAX_BODY_BYTES", "16MB"),
        ("COCKADE_LOG_LEVEL", "loud"),
        ("COCKADE_LOG_FORMAT", "xml"),
    ],
)
def test_invalid_value_is_rejected_with_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SetupError) as caught:
        from_environment({variable: text})
    assert variable in caught.value.text
    assert repr(text) in caught.value.text


@pytest.mark.parametrize("setting", ["trusted_proxies", "webhook_allowed_networks"])
def test_networks_are_parsed_or_rejected_with_their_setting(setting: str) -> None:
    assert read_networks(setting, " , ") == ()
    assert read_networks(setting, "10.0.0.0/8, ::1") == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    with pytest.raises(SetupError, match=f"COCKADE_{setting.upper()}"):
        read_networks(setting, "10.0.0.0/8,127.0.0.1/8")


def test_session_has_the_limits_of_the_configuration() -> None:
    settings = session_settings(Config(statement_timeout_s=7, lock_timeout_s=3))
    assert settings["statement_timeout"] == "7s"
    assert settings["lock_timeout"] == "3s"
    assert settings["idle_in_transaction_session_timeout"] == "7s"
    assert settings["TimeZone"] == "UTC"
    assert settings["default_transaction_isolation"] == "read committed"
