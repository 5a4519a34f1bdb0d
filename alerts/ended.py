"""Alerts that end though no window resolved them: what is waited for in vain is told by what was lived, not by the log.

    rule_removed   the config has no such rule any more
    version_gone   new windows came, and nothing of the version
    went_quiet     new windows came, and nothing of the alert

The last two rest: their records stay, and where a window is shown to them again they go on as they were.
"""

from __future__ import annotations

from collections.abc import Iterable

from alerts.record import Group, Name, Record
from alerts.rules import Rule
from alerts.transition import Reason, Shown, Transition

QUIET_WINDOWS = 64  # an alert that fires and had no news for so many windows ends
FORGET_WINDOWS = 256  # one that does not is forgotten

Groups = dict[Group, dict[Name, Record]]


def drop_removed(alerts: dict[Name, Record], rules: Iterable[Rule], window: Shown) -> list[Transition]:
    """Alerts of rules that the config no longer has end."""
    known = {rule.name for rule in rules}
    out = []
    for name, record in list(alerts.items()):
        if name[0] not in known:
            del alerts[name]
            if record.is_alight:
                out.append(_ended(window.group, name, record, Reason.RULE_REMOVED, window))
    return out


def forget(groups: Groups, absent: set[str], window: Shown) -> list[Transition]:
    """What fires without news, say of a version that is gone, ends; what does not is dropped in time."""
    size_ms = window.end_ms - window.start_ms
    quiet_ms, old_ms = (window.start_ms - many * size_ms for many in (QUIET_WINDOWS, FORGET_WINDOWS))
    out = []
    for group, alerts in list(groups.items()):
        for name, record in list(alerts.items()):
            if record.heard_ms >= quiet_ms or (name[0] in absent and record.status == "firing"):
                continue
            if record.is_alight:
                record.rested = str(Reason.WENT_QUIET)
                out.append(_ended(group, name, record, Reason.WENT_QUIET, window))
            if record.heard_ms < old_ms:
                del alerts[name]
        if not alerts and group != window.group:
            del groups[group]
    return out


def end_versions(groups: Groups, gone: set[str], window: Shown) -> list[Transition]:
    """End what fires for versions that take no traffic any more; their quiet records are forgotten in time."""
    out = []
    for group, alerts in groups.items():
        for name, record in alerts.items() if group[1] in gone else ():
            if record.is_alight:
                record.rested = str(Reason.VERSION_GONE)
                out.append(_ended(group, name, record, Reason.VERSION_GONE, window))
    return out


def _ended(group: Group, name: Name, record: Record, reason: Reason, window: Shown) -> Transition:
    """The end of an alert that nothing can resolve any more."""
    rule, subject, score = name
    return Transition(
        record.mark, rule, "info", *group, subject, score, "resolved", reason, record.value, record.threshold, record.rows,
        window.start_ms, window.end_ms, record.since_ms, window.revision, window.now_ms, record.level, record.reference,
        trigger_ms=record.trigger_ms,
    )  # fmt: skip
