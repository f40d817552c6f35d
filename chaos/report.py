"""The text report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from chaos.checker import Violation
from chaos.history import Attempt, Fault, History, InactiveInterval, LimitInterval, Revocation, Run

MAX_VIOLATIONS = 50
"""The report has details of at most this number of violations."""


def report(history: History, violations: Sequence[Violation]) -> list[str]:
    """Return the lines of the report: requests, faults, and the violations that the checker found."""
    [run] = history.of_type(Run)
    return [
        f"Seed: {run.seed}",
        *_requests(history),
        *_faults(history.of_type(Fault)),
        f"Violations: {len(violations) or 'none'}",
        *(f"  {violation.guarantee}: {violation.detail}" for violation in violations[:MAX_VIOLATIONS]),
    ]


def _requests(history: History) -> list[str]:
    attempts = [attempt for attempt in history.of_type(Attempt) if not attempt.is_lookup]
    outcomes, customers = Counter[str](), Counter[str]()
    for attempt in attempts:
        outcomes[attempt.response.outcome] += 1
        customers[attempt.response.outcome] += len(attempt.audience)
    audiences = {attempt.request_id: len(attempt.audience) for attempt in attempts}
    longest_s = max(
        (attempt.response.received_at - attempt.response.sent_at for attempt in attempts), default=0
    )
    issued = sum(len(attempt.earned) for attempt in attempts)
    revocations = history.of_type(Revocation)
    inactive = sum(interval.is_conclusive for interval in history.of_type(InactiveInterval))
    limits = sum(interval.is_conclusive for interval in history.of_type(LimitInterval))
    return [
        f"Requests: {len(audiences):,}, sent {len(attempts):,} times{_breakdown(outcomes)}",
        f"Customers in requests: {sum(audiences.values()):,}, sent {sum(customers.values()):,} times"
        f"{_breakdown(customers)}",
        f"Badges issued: {issued:,}",
        f"Revocations: {len(revocations):,}{_breakdown(Counter(str(each.response.outcome) for each in revocations))}",
        f"Longest request: {longest_s:.1f} s",
        f"Intervals checked: {inactive} with an inactive badge, {limits} with a changed limit",
    ]


def _breakdown(counts: Counter[str]) -> str:
    """Format counts by outcome, the largest first."""
    return f" ({', '.join(f'{count:,} {name}' for name, count in counts.most_common())})" if counts else ""


def _faults(faults: Sequence[Fault]) -> list[str]:
    lines = [f"Faults: {len(faults) or 'none'}"]
    if faults:
        lines[0] += f", {sum(fault.killed for fault in faults)} processes killed"
    for kind, count in sorted(Counter(fault.kind for fault in faults).items()):
        times_s = [fault.recovery_s for fault in faults if fault.kind == kind and fault.recovery_s]
        recovery = (
            f", recovery {median(times_s):.1f} s (median), {max(times_s):.1f} s (max)" if times_s else ""
        )
        lines.append(f"  {kind}: {count}{recovery}")
    return lines
