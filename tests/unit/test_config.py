"""The configuration: its defaults, what it reads, and what it refuses by name."""

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
    "background": "auto",
    "background_pool_size": 4,
    "pool_wait_s_max": 10,
    "call_s_max": 30,
    "statement_timeout_s": 60,
    "lock_timeout_s": 10,
    "stop_s_max": 30,
    "customers_max": 100_000,
    "body_bytes_max": 16 * 1024 * 1024,
    "bodies_bytes_max": 64 * 1024 * 1024,
    "audience_bytes_max": 4 * 1024**3,
    "job_chunk_customers": 50_000,
    "job_gap_ms": 0,
    "job_sent_days": 30,
    "body_s_max": 60,
    "guesses_per_name_max": 10,
    "guesses_per_address_max": 100,
    "guess_window_s": 300,
    "calls_per_minute_max": None,
    "event_days": 30,
    "webhook_networks": "",
    "webhook_timeout_s": 10,
    "webhook_give_up_h": 72,
    "webhook_log_days": 7,
    "answers_kept_s": 86_400,
    "trusted_proxies": "",
    "proxy_header": "x-forwarded-for",
    "log_level": "info",
    "log_format": "json",
}


def test_without_any_variable_the_defaults_hold() -> None:
    read = msgspec.structs.asdict(from_environment({"PATH": "/bin", "COCKADE_UNKNOWN": "1"}))
    assert isinstance(read.pop("data_dir"), Path)
    assert read == DEFAULTS


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("COCKADE_DATABASE_URL", "postgresql://a@b/c", "postgresql://a@b/c"),
        ("COCKADE_DATA_DIR", "data", Path("data")),
        ("COCKADE_POOL_SIZE", "3", 3),
        ("COCKADE_POOL_WAIT_S_MAX", "3", 3),
        ("COCKADE_CALL_S_MAX", "3", 3),
        ("COCKADE_STATEMENT_TIMEOUT_S", "3", 3),
        ("COCKADE_LOCK_TIMEOUT_S", "3", 3),
        ("COCKADE_CUSTOMERS_MAX", "1000000", 1_000_000),
        ("COCKADE_BODY_BYTES_MAX", "1", 1),
        ("COCKADE_BODIES_BYTES_MAX", "1", 1),
        ("COCKADE_BODY_S_MAX", "1", 1),
        ("COCKADE_GUESSES_PER_NAME_MAX", "3", 3),
        ("COCKADE_GUESSES_PER_ADDRESS_MAX", "3", 3),
        ("COCKADE_GUESS_WINDOW_S", "3", 3),
        ("COCKADE_CALLS_PER_MINUTE_MAX", "600", 600),
        ("COCKADE_EVENT_DAYS", "3", 3),
        ("COCKADE_WEBHOOK_NETWORKS", "127.0.0.0/8", "127.0.0.0/8"),
        ("COCKADE_WEBHOOK_TIMEOUT_S", "3", 3),
        ("COCKADE_WEBHOOK_GIVE_UP_H", "3", 3),
        ("COCKADE_WEBHOOK_LOG_DAYS", "3", 3),
        ("COCKADE_ANSWERS_KEPT_S", "60", 60),
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
def test_an_empty_variable_counts_as_unset(field: str) -> None:
    assert getattr(from_environment({f"COCKADE_{field.upper()}": ""}), field) == getattr(Config(), field)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("COCKADE_POOL_SIZE", "ten"),
        ("COCKADE_POOL_SIZE", "0"),
        ("COCKADE_POOL_SIZE", "-1"),
        ("COCKADE_POOL_SIZE", "1.5"),
        ("COCKADE_POOL_WAIT_S_MAX", "0"),
        ("COCKADE_STATEMENT_TIMEOUT_S", "1m"),
        ("COCKADE_LOCK_TIMEOUT_S", "0"),
        ("COCKADE_CUSTOMERS_MAX", "many"),
        ("COCKADE_BODY_BYTES_MAX", "16MB"),
        ("COCKADE_LOG_LEVEL", "loud"),
        ("COCKADE_LOG_FORMAT", "xml"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SetupError) as caught:
        from_environment({variable: text})
    assert variable in caught.value.text
    assert repr(text) in caught.value.text


@pytest.mark.parametrize("setting", ["trusted_proxies", "webhook_networks"])
def test_networks_are_read_from_a_list_or_refused_with_their_setting(setting: str) -> None:
    assert read_networks(setting, " , ") == ()
    assert read_networks(setting, "10.0.0.0/8, ::1") == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    with pytest.raises(SetupError, match=f"COCKADE_{setting.upper()}"):
        read_networks(setting, "10.0.0.0/8,127.0.0.1/8")


def test_a_session_has_the_limits_of_the_configuration() -> None:
    settings = session_settings(Config(statement_timeout_s=7, lock_timeout_s=3))
    assert settings["statement_timeout"] == "7s"
    assert settings["lock_timeout"] == "3s"
    assert settings["idle_in_transaction_session_timeout"] == "7s"
    assert settings["TimeZone"] == "UTC"
    assert settings["default_transaction_isolation"] == "read committed"
