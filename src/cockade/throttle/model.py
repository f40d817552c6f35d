"""Attempts, guesses and allowances."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class Guesses(Struct, frozen=True, kw_only=True):
    """What is remembered of a name and an address; each instant is that of the guess that fills the bound."""

    name_full_at: datetime | None
    """Of this name from anywhere; None: there is room."""
    address_full_at: datetime | None
    """Of any name from this address."""
    pair_full_at: datetime | None
    """Of this name from this address."""
    pair_guessed: bool
    """Whether this name was guessed from this address at all."""
    proved_at: datetime | None
    """When the name last proved itself from this address; None: it is not known there."""


class Attempt(Struct, frozen=True, kw_only=True):
    """A proof that is about to be tried."""

    name_digest: bytes
    address: str
    guesses: Guesses


class Allowance(Struct, frozen=True, kw_only=True):
    """How many calls a credential has left, as far as this process knows."""

    limit: int
    left: int
    """Of the limit, after this call; -1 where this call was one too many."""
    resets_in_s: int


class Lease(Struct, frozen=True, kw_only=True):
    """Calls that a process has taken for itself."""

    minute: datetime
    left: int
    taken: int
    """By all processes, as of then."""
