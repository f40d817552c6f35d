"""Pure rules of the audit trail (`docs/reference/api/audit.md`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cockade.ids import CustomerId

VALUE_BYTES_MAX = 200
"""Maximum size of a recorded value as JSON. Of larger values only the field name is recorded."""
CUSTOMERS_MAX = 100
"""Maximum number of customers that an entry names."""


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Return the fields that differ, with the old and new values if they are small."""
    return {
        name: _change(before.get(name), after.get(name))
        for name in after
        if msgspec.json.encode(before.get(name)) != msgspec.json.encode(after.get(name))
    }


def named(customers: Iterable[CustomerId]) -> dict[str, Any]:
    """Return the number of distinct customers, and the first of them in ascending order."""
    distinct_customers = sorted(set(customers))
    return {"customerCount": len(distinct_customers), "customerIds": distinct_customers[:CUSTOMERS_MAX]}


def _change(before: object, after: object) -> dict[str, object]:
    values = {"from": before, "to": after}
    is_small = all(len(msgspec.json.encode(value)) <= VALUE_BYTES_MAX for value in values.values())
    return values if is_small else {}
