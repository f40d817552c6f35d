"""The report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from chaos.checker import Violation
from chaos.history import Call, History, InactiveInterval, InjectedFault, LimitInterval, Revocation, RunInfo

SHOWN_MAX = 50


def report(history: History, violations: Sequence[Violation]) -> list[str]:
    """Return the lines of the report: requests, faults, and what the checker found."""
    [begun] = history.of(RunInfo)
    found = [f"VIOLATION of '{each.promise}': {each.what}" for each in violations[:SHOWN_MAX]]
    return [
        f"seed {begun.seed}",
        *_called(history),
        *_done(history.of(InjectedFault)),
        *found,
        f"violations: {len(violations)}",
    ]


def _called(history: History) -> list[str]:
    calls = [call for call in history.of(Call) if not call.looked_up]
    outcomes, issuances = Counter[str](), Counter[str]()
    for call in calls:
        outcomes[call.answer.outcome] += 1
        issuances[call.answer.outcome] += len(call.audience)
    asked = {call.request_id: len(call.audience) for call in calls}
    longest = max((call.answer.answered_at - call.answer.sent_at for call in calls), default=0)
    return [
        f"requests: {len(calls)}; {format_counts(outcomes)}; longest {longest:.1f} s",
        f"issuances requested: {sum(asked.values())} in {len(asked)} requests, with retries {sum(issuances.values())}; {format_counts(issuances)}; issued {sum(len(call.earned) for call in calls)}",
        f"revocations: {format_counts(Counter(str(each.answer.outcome) for each in history.of(Revocation)))}",
        f"observed intervals: deactivated or unclaimed {sum(pause.sound for pause in history.of(InactiveInterval))}, changed limit {sum(limit_interval.sound for limit_interval in history.of(LimitInterval))}",
    ]


def _done(faults: Sequence[InjectedFault]) -> list[str]:
    kinds = Counter(fault.kind for fault in faults)
    killing = sum(fault.killed > 0 for fault in faults)
    lines = [f"kills: {killing}, {sum(fault.killed for fault in faults)} processes"]
    for kind, number in sorted(kinds.items()):
        took = [fault.recovery_s for fault in faults if fault.kind == kind and fault.recovery_s]
        back = f", recovered after {median(took):.1f} s, at most {max(took):.1f} s" if took else ""
        lines.append(f"  {kind}: {number}{back}")
    return lines


def format_counts(counter: Counter[str]) -> str:
    """Format counts."""
    return ", ".join(f"{number} {word}" for word, number in sorted(counter.items())) or "none"
