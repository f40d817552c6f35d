"""Limits on failed logins, shared by all processes through the database.

Failed logins are written when authentication has failed, and read only before a secret is hashed. A caller
whose credential is cached causes no statement.
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
"""Time for which an address stays known for a username after a successful login."""
SUCCESS_RECORD_INTERVAL = timedelta(hours=1)

log = structlog.get_logger()


class LoginGuard:
    """Limits failed logins per username and per address."""

    def __init__(self, database: Database, clock: Clock, settings: Config) -> None:
        self._database = database
        self._clock = clock
        self._window = timedelta(seconds=settings.login_failure_window_s)
        self._per_name_max = settings.login_failures_per_username
        self._per_address_max = settings.login_failures_per_ip

    async def check(self, name: str, address: str) -> LoginAttempt:
        """Return a login attempt for `name` from `address`. Raises TooManyFailedLogins."""
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
            log.warning("login throttled", action="failed_login.block", address=address)
            raise TooManyFailedLogins(retry_after_s=whole_seconds(allowed_from - now))
        return LoginAttempt(username_digest=digest, address=address, failed_logins=failed_logins)

    async def record_failure(self, attempt: LoginAttempt) -> None:
        """Record a failed login."""
        now = self._clock()

        async def body(tx: Tx) -> None:
            await store.delete_old_failed_logins(tx, now - self._window)
            await store.insert_failed_login(tx, attempt, now)

        await self._database.transaction("failed_login.record", body)
        log.warning("login failed", action="failed_login.record", address=attempt.address)

    async def record_success(self, attempt: LoginAttempt) -> None:
        """Record a successful login: the address becomes known for the username, and its failed logins are
        deleted.
        """
        now = self._clock()
        if not rules.should_record_success(attempt.failed_logins, now, SUCCESS_RECORD_INTERVAL):
            return

        async def body(tx: Tx) -> None:
            await store.delete_failed_logins(tx, attempt)
            await store.upsert_known_login_address(tx, attempt, now)
            await store.delete_old_known_login_addresses(tx, now - KNOWN_ADDRESS_TTL)

        await self._database.transaction("failed_login.clear", body)
