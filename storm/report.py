"""A storm in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from storm.checker import Violation
from storm.diary import Act, Call, Cap, Diary, Pause, Revocation, Storm

SHOWN_MAX = 50


def report(diary: Diary, violations: Sequence[Violation]) -> list[str]:
    """What was called, what was done to the service, and what the checker found."""
    [begun] = diary.of(Storm)
    found = [f"VIOLATION of '{each.promise}': {each.what}" for each in violations[:SHOWN_MAX]]
    return [
        f"seed {begun.seed}",
        *_called(diary),
        *_done(diary.of(Act)),
        *found,
        f"violations: {len(violations)}",
    ]


def _called(diary: Diary) -> list[str]:
    calls = [call for call in diary.of(Call) if not call.told]
    fates, issuances = Counter[str](), Counter[str]()
    for call in calls:
        fates[call.answer.fate] += 1
        issuances[call.answer.fate] += len(call.audience)
    asked = {call.request_id: len(call.audience) for call in calls}
    longest = max((call.answer.answered_at - call.answer.sent_at for call in calls), default=0)
    return [
        f"calls: {len(calls)}; {said(fates)}; the longest took {longest:.1f} s",
        f"issuances attempted: {sum(asked.values())} in {len(asked)} requests, with repeats"
        f" {sum(issuances.values())}; {said(issuances)}; issued {sum(len(call.earned) for call in calls)}",
        f"revocations: {said(Counter(str(each.answer.fate) for each in diary.of(Revocation)))}",
        f"times off, unclaimed, limited that were watched: {sum(pause.sound for pause in diary.of(Pause))},"
        f" {sum(cap.sound for cap in diary.of(Cap))}",
    ]


def _done(acts: Sequence[Act]) -> list[str]:
    kinds = Counter(act.kind for act in acts)
    killing = sum(act.killed > 0 for act in acts)
    lines = [f"kills: {killing}, of {sum(act.killed for act in acts)} processes"]
    for kind, number in sorted(kinds.items()):
        took = [act.back_s for act in acts if act.kind == kind and act.back_s]
        back = f", back after {median(took):.1f} s, {max(took):.1f} s at the most" if took else ""
        lines.append(f"  {kind}: {number}{back}")
    return lines


def said(counter: Counter[str]) -> str:
    """Counts in words."""
    return ", ".join(f"{number} {word}" for word, number in sorted(counter.items())) or "none"
