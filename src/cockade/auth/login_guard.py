"""Bounds on guessing and on calling, shared by all processes through the database.

Guesses are written only when a proof has failed, and asked for only where a secret is about to be hashed: whoever is
remembered as verified pays nothing. Calls are counted only where the setting is on, and taken from the database some
at a time.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

import structlog

from cockade.auth import rules, store
from cockade.auth.model import LoginAttempt
from cockade.clock import Clock
from cockade.config import Config
from cockade.errors import TooManyFailedLogins
from cockade.storage.database import Database, Tx
from cockade.times import whole_seconds

KNOWN_ADDRESS_TTL = timedelta(days=30)
"""How long an address is known after a name has proved itself from it."""
SUCCESS_RECORD_INTERVAL = timedelta(hours=1)

log = structlog.get_logger()


class LoginGuard:
    """How often one may guess, per name and per address."""

    def __init__(self, database: Database, clock: Clock, settings: Config) -> None:
        self._database = database
        self._clock = clock
        self._window = timedelta(seconds=settings.login_failure_window_s)
        self._per_name_max = settings.login_failures_per_username
        self._per_address_max = settings.login_failures_per_ip

    async def check(self, name: str, address: str) -> LoginAttempt:
        """The attempt to prove `name` from `address`. Raises TooManyGuesses."""
        now = self._clock()
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        failed_logins = await self._database.transaction(
            "failed_login.find",
            lambda tx: store.find_failed_logins(
                tx,
                digest,
                address,
                since=now - self._window,
                per_username_max=self._per_name_max,
                per_address_max=self._per_address_max,
                known_since=now - KNOWN_ADDRESS_TTL,
            ),
        )
        allowed_from = rules.allowed_from(failed_logins, self._window)
        if allowed_from is not None and allowed_from > now:
            log.warning("guessing is throttled", action="failed_login.block", address=address)
            raise TooManyFailedLogins(retry_after_s=whole_seconds(allowed_from - now))
        return LoginAttempt(username_digest=digest, address=address, failed_logins=failed_logins)

    async def record_failure(self, attempt: LoginAttempt) -> None:
        """The attempt has failed."""
        now = self._clock()

        async def body(tx: Tx) -> None:
            await store.delete_old_failed_logins(tx, now - self._window)
            await store.insert_failed_login(tx, attempt, now)

        await self._database.transaction("failed_login.record", body)
        log.warning("a wrong credential", action="failed_login.record", address=attempt.address)

    async def record_success(self, attempt: LoginAttempt) -> None:
        """The attempt has succeeded: its name is known from its address, and its guesses from there are forgiven."""
        now = self._clock()
        if not rules.should_record_success(attempt.failed_logins, now, SUCCESS_RECORD_INTERVAL):
            return

        async def body(tx: Tx) -> None:
            await store.delete_failed_logins(tx, attempt)
            await store.upsert_known_login_address(tx, attempt, now)
            await store.delete_old_known_login_addresses(tx, now - KNOWN_ADDRESS_TTL)

        await self._database.transaction("failed_login.clear", body)
