"""Who is told what, and when: groups of the alerts that fire, over the book that says which do.

`settle` looks at the whole: what fires, what is silenced or inhibited, what was said already. Then for each group

    nothing told fires any more            -> resolved, to all that were told (silences do not hold this back)
    something audible was not told         -> firing; alerts that join wait until interval_ms after the last such message
    something flaps, or flaps no more      -> flapping, once; firing again if it still does
    somebody took it                       -> acknowledged: no repeats, no escalation until the episode ends
    escalate[n].after_ms unacknowledged    -> escalated, to the channels of that step
    repeat_ms since the last message       -> repeat

Pure: the book, the time, silences and acknowledgements are passed in, messages come out. Linear in what fires.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import orjson

from alerts.book import AlertBook
from alerts.group import AlertGroup, group_of
from alerts.inhibition import inhibited
from alerts.messages import for_channel, member_of, notification, remembered, worst_first
from alerts.notification import Member, Notification
from alerts.policy import Policy
from alerts.record import Group, Name, Record
from alerts.routing import Target
from alerts.silences import Silence, active, silenced_by
from alerts.transition import Reason, Transition

VERSION = 1
AUDITED_MOST = 50  # alerts named in one entry of the trail; `count` is of all


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledgement as it lies in the store. since_ms: of the episode that it is for."""

    alert: str
    since_ms: int
    author: str
    comment: str
    at_ms: int


@dataclass(slots=True)
class Effects:
    """What the publishing transaction is to write. corrected: rows of alerts that did not move. outbox: channel and message. trail: rows of the audit table."""

    alert_rows: list[dict[str, Any]] = field(default_factory=list)
    corrected: list[dict[str, Any]] = field(default_factory=list)
    outbox: list[tuple[str, Notification]] = field(default_factory=list)
    trail: list[dict[str, Any]] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    unacknowledged: list[str] = field(default_factory=list)
    acks_done: list[str] = field(default_factory=list)

    def then(self, later: Effects) -> Effects:
        """Both, in this order."""
        return Effects(*(getattr(self, f.name) + getattr(later, f.name) for f in fields(Effects)))


@dataclass(slots=True)
class Scene:
    """What `settle` sees: passed in whole, so that nothing is asked for in the middle."""

    book: AlertBook
    policy: Policy
    moves: Sequence[Transition]
    silences: Sequence[Silence]
    acks: Mapping[str, Ack]
    window: tuple[int, int]  # of the newest window, start and end in ms
    now_ms: int
    alight: dict[str, tuple[Group, Name, Record]] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    quiet: dict[str, str] = field(default_factory=dict)  # fingerprint -> "silence:ID" or "alert:FINGERPRINT"
    moved: dict[str, Transition] = field(default_factory=dict)


class Desk:
    """The groups of one model. Changed in place by `settle`."""

    def __init__(self, groups: dict[str, AlertGroup] | None = None, quietly: bool = False) -> None:
        self.groups = groups if groups is not None else {}
        self._quietly = quietly  # alerts that fire already are taken over without a message

    def settle(self, scene: Scene) -> Effects:
        """Bring the groups up to date and say what is to be sent and written."""
        out = Effects()
        _look(scene)
        known = scene.policy.all_targets()
        self._assign(scene)
        homes = {mark: group.id for group in reversed(self.groups.values()) for mark in group.members} if scene.moves else {}
        for move in scene.moves:
            rows = out.corrected if move.corrects else out.alert_rows
            rows.append(move.alert_row(_labels_of(scene, move), homes.get(move.alert)))
        for group in list(self.groups.values()):
            target = known.get(group.target)
            if target is None:  # the config has no such route any more
                _resolve(group, Target(tuple(group.channels)), scene, [], out)
                del self.groups[group.id]
                continue
            _settle_group(group, target, scene, out)
            if not group.members:
                del self.groups[group.id]
        in_use = {g.ack_alert for g in self.groups.values()}
        out.acks_done += [mark for mark in scene.acks if mark not in scene.alight and mark not in in_use]
        return out

    def _assign(self, scene: Scene) -> None:
        housed = {mark for group in self.groups.values() for mark in group.members}
        for mark in scene.alight:
            if mark in housed:
                continue
            for target in scene.policy.targets(scene.labels[mark]):
                made = group_of(target, scene.labels[mark])
                group = self.groups.setdefault(made.id, made)
                group.members[mark] = ""
                if self._quietly and mark not in scene.moved:
                    _take_over(group, target, scene, mark)
        self._quietly = False

    def next_ms(self, policy: Policy, silences: Iterable[Silence], now_ms: int) -> int | None:
        """The wall time at which `settle` has something to do again, should nothing else happen."""
        known, due = policy.all_targets(), []
        for group in self.groups.values():
            target = known.get(group.target)
            if target is None or not group.announced:
                continue
            if any(not why and mark not in group.told for mark, why in group.members.items()):
                due.append(group.told_ms + 2 * target.interval_ms)
            if all(group.members.values()):
                continue
            if target.repeat_ms and _hears_repeats(group, policy):
                due.append(group.told_ms + target.repeat_ms)
            if group.step < len(target.escalate) and not group.acknowledged:
                due.append(group.first_ms + target.escalate[group.step].after_ms)
        if self.groups:
            due += [at for s in silences for at in (s.starts_ms, s.ends_ms) if at > now_ms]
        return min(due, default=None)

    def to_bytes(self) -> bytes:
        return orjson.dumps({"version": VERSION, "groups": [group.row() for _, group in sorted(self.groups.items())]})

    @staticmethod
    def from_bytes(blob: bytes) -> Desk:
        """Raises ValueError where the blob was written by another version."""
        data = orjson.loads(blob)
        if data.get("version") != VERSION:
            raise ValueError(f"alert desk: version is {data.get('version')!r}, this program reads {VERSION}")
        groups = [AlertGroup.from_row(row) for row in data["groups"]]
        return Desk({group.id: group for group in groups})


def _look(scene: Scene) -> None:
    for group, name, record in scene.book.alight():
        scene.alight[record.mark] = (group, name, record)
        scene.labels[record.mark] = scene.policy.labels(group, name, record.mark)
    scene.moved = {move.alert: move for move in scene.moves if not move.corrects}
    now_active = active(scene.silences, scene.now_ms)
    if now_active:
        for mark, labels in scene.labels.items():
            if (found := silenced_by(now_active, labels)) is not None:
                scene.quiet[mark] = f"silence:{found.id}"
    asked = [mark for mark in scene.alight if mark not in scene.quiet]
    by = inhibited(scene.policy.inhibitions, scene.labels, asked)
    scene.quiet.update({mark: f"alert:{source}" for mark, source in by.items()})


def _labels_of(scene: Scene, move: Transition) -> dict[str, str]:
    found = scene.labels.get(move.alert)
    where, name = (move.model, move.version, move.segment), (move.rule, move.subject, move.score)
    return found if found is not None else scene.policy.labels(where, name, move.alert)


def _take_over(group: AlertGroup, target: Target, scene: Scene, mark: str) -> None:
    """An alert that an older release told of."""
    record = scene.alight[mark][2]
    group.told.add(mark)
    group.channels = list(target.channels)
    group.episode_ms, group.since_ms = max(group.episode_ms, record.trigger_ms), record.since_ms
    group.told_ms = group.first_ms = scene.now_ms
    group.peak += 1


def _settle_group(group: AlertGroup, target: Target, scene: Scene, out: Effects) -> None:
    ended = [mark for mark in group.members if mark not in scene.alight]
    for mark in ended:
        del group.members[mark]
    over = [mark for mark in ended if mark in group.told]
    group.told.difference_update(ended)
    released = _quieten(group, scene, out)
    fresh = [mark for mark, why in group.members.items() if not why and mark not in group.told]
    if group.announced and not group.told and not fresh:
        _resolve(group, target, scene, over, out)
        return
    _acknowledge(group, scene, out)
    _tell_flapping(group, scene, out)
    if fresh and (fresh := [mark for mark in fresh if mark not in group.told]):
        _tell_fresh(group, target, scene, fresh, released, out)
    if group.announced:
        _tell_in_time(group, target, scene, out)


def _quieten(group: AlertGroup, scene: Scene, out: Effects) -> dict[str, str]:
    """Note why members are kept quiet; gives those that were and are not any more, with the cause that went."""
    changed: dict[str, list[str]] = {}
    released: dict[str, str] = {}
    for mark, before in group.members.items():
        why = scene.quiet.get(mark, "")
        if why != before:
            group.members[mark] = why
            changed.setdefault(why, []).append(mark)
            if not why:
                released[mark] = before
    for why, marks in sorted(changed.items()):
        kind = {"silence": "silenced", "alert": "inhibited"}.get(why.partition(":")[0], "released")
        _note(out, scene, kind, group, marks[0], "", why, {"count": len(marks), "alerts": sorted(marks)[:AUDITED_MOST]})
    return released


def _tell_fresh(
    group: AlertGroup, target: Target, scene: Scene, fresh: list[str], released: Mapping[str, str], out: Effects
) -> None:
    records = [scene.alight[mark][2] for mark in fresh]
    first = not group.announced
    if first:
        group.episode_ms, group.since_ms = max(r.trigger_ms for r in records), min(r.since_ms for r in records)
        group.first_ms, group.channels = scene.now_ms, list(target.channels)
        number, reason = 0, _why(scene, fresh[0], released)
    elif _must_wait(group, target, scene):
        return
    else:
        number, reason = max(r.trigger_ms for r in records), str(Reason.JOINED)
    group.told.update(fresh)
    group.told_event_ms = scene.window[1]
    flaps = [mark for mark in fresh if scene.alight[mark][2].flapping]
    group.flapping.update(flaps)
    if flaps:
        _note(out, scene, "flapping", group, flaps[0], "", str(Reason.FLAPPING), {"alerts": sorted(flaps)[:AUDITED_MOST]})
        reason = str(Reason.FLAPPING)
    _send(group, scene, "flapping" if flaps else "firing", reason, number, group.channels, out)


def _why(scene: Scene, mark: str, released: Mapping[str, str]) -> str:
    if mark in scene.moved:
        return str(scene.moved[mark].reason)
    cause = released.get(mark, "").partition(":")[0]
    return str({"silence": Reason.SILENCE_ENDED, "alert": Reason.INHIBITION_ENDED}.get(cause, Reason.THRESHOLD_CROSSED))


def _must_wait(group: AlertGroup, target: Target, scene: Scene) -> bool:
    """Whether the last message about firing alerts is too young in event time; on the clock only where no window comes."""
    if not group.told:
        return False  # all that was told is over: this goes on with others
    young = scene.window[1] - group.told_event_ms < target.interval_ms
    return young and scene.now_ms - group.told_ms < 2 * target.interval_ms


def _tell_flapping(group: AlertGroup, scene: Scene, out: Effects) -> None:
    rested = [mark for mark in group.flapping if mark not in scene.alight or not scene.alight[mark][2].flapping]
    group.flapping.difference_update(rested)
    still = [mark for mark in rested if mark in scene.alight and not group.members.get(mark)]
    if still:
        group.told.update(still)
        number = max(scene.alight[mark][2].start_ms for mark in still)
        _send(group, scene, "firing", str(Reason.FLAPPING_ENDED), number, group.channels, out)
    if rested:
        _note(out, scene, "rested", group, sorted(rested)[0], "", "", {"alerts": sorted(rested)[:AUDITED_MOST]})
    begun = [m for m, why in group.members.items() if not why and scene.alight[m][2].flapping and m not in group.flapping]
    if not begun or not group.announced:
        return
    group.flapping.update(begun)
    group.told.update(begun)
    number = max(scene.alight[mark][2].trigger_ms for mark in begun)
    _send(group, scene, "flapping", str(Reason.FLAPPING), number, group.channels, out)
    _note(out, scene, "flapping", group, begun[0], "", str(Reason.FLAPPING), {"alerts": sorted(begun)[:AUDITED_MOST]})


def _acknowledge(group: AlertGroup, scene: Scene, out: Effects) -> None:
    if group.acknowledged:
        if group.ack_alert not in scene.acks:
            group.ack_alert, group.ack_author, group.ack_comment, group.ack_ms = "", "", "", -1
            group.first_ms = group.told_ms = scene.now_ms
            group.step = 0
            out.unacknowledged.extend(group.members)
        return
    for mark in group.members if scene.acks else ():
        ack, record = scene.acks.get(mark), scene.alight[mark][2]
        if ack is not None and (ack.since_ms == record.since_ms or record.flapping):
            group.ack_alert, group.ack_author, group.ack_comment, group.ack_ms = mark, ack.author, ack.comment, ack.at_ms
            out.acknowledged.extend(group.members)
            if group.announced:
                _send(group, scene, "acknowledged", str(Reason.ACKNOWLEDGED), ack.at_ms, group.channels, out)
            return


def _tell_in_time(group: AlertGroup, target: Target, scene: Scene, out: Effects) -> None:
    audible = next((mark for mark in group.told if not group.members.get(mark, "gone")), None)
    if audible is None:
        return
    rule = scene.policy.rule(scene.alight[audible][1][0])
    if rule is not None and rule.schedule is not None and not rule.schedule.is_open(scene.now_ms):
        return
    while group.step < len(target.escalate) and not group.acknowledged:
        step = target.escalate[group.step]
        if scene.now_ms - group.first_ms < step.after_ms:
            break
        group.step += 1
        group.channels = list(dict.fromkeys([*group.channels, *step.channels]))
        _send(group, scene, "escalated", str(Reason.NOT_ACKNOWLEDGED), group.step, step.channels, out, step.severity)
    hearing = _hears_repeats(group, scene.policy)
    if hearing and target.repeat_ms and scene.now_ms - group.told_ms >= target.repeat_ms:
        group.repeats += 1
        _send(group, scene, "repeat", str(Reason.REPEAT_DUE), group.repeats, hearing, out)


def _hears_repeats(group: AlertGroup, policy: Policy) -> list[str]:
    """Nobody is told again of what somebody has taken; a retrain that was refused is asked for again."""
    return [c for c in group.channels if c in policy.asking] if group.acknowledged else group.channels


def _resolve(group: AlertGroup, target: Target, scene: Scene, over: list[str], out: Effects) -> None:
    """Everything that was told is over: say so to all that heard of it."""
    if not group.announced:
        return
    members = [_ended_member(scene.moved[mark]) for mark in over if mark in scene.moved]
    if not members and group.last:
        members = [replace(Member(**group.last), status="resolved")]
    if members:
        worst = worst_first(members)
        labels = _labels_of(scene, scene.moved[worst[0].alert]) if worst[0].alert in scene.moved else _group_labels(group, scene)
        reason = str(scene.moved[worst[0].alert].reason) if worst[0].alert in scene.moved else str(Reason.RULE_REMOVED)
        _emit(group, scene, worst, max(group.peak, 1), "resolved", reason, 0, group.channels, labels, out)
    if group.ack_alert:
        out.acks_done.append(group.ack_alert)
    group.forget_episode()


def _group_labels(group: AlertGroup, scene: Scene) -> dict[str, str]:
    m = Member(**group.last)
    return scene.policy.labels((group.labels.get("model", ""), m.version, m.segment), (m.rule, m.subject, m.score), m.alert)


def _ended_member(t: Transition) -> Member:
    return Member(
        t.alert, "resolved", str(t.reason), t.rule, t.severity, t.version, t.segment, t.subject, t.score, t.level, t.value, t.threshold,
        t.rows, t.since_ms, t.reference,
    )  # fmt: skip


def _send(
    group: AlertGroup,
    scene: Scene,
    status: str,
    reason: str,
    number: int,
    channels: Sequence[str],
    out: Effects,
    severity: str = "",
) -> None:
    """A message about what was told and fires."""
    members = []
    for mark in group.told:
        if mark not in scene.alight:
            continue
        move = scene.moved.get(mark)
        why = str(move.reason) if move is not None else reason
        evidence = move.evidence if move is not None and move.evidence else group.evidence.get(mark, {})
        members.append(member_of(scene.alight[mark], scene.labels[mark]["severity"], why, evidence))
    worst = worst_first(members)
    group.peak = max(group.peak, len(members))
    group.evidence = {m.alert: m.evidence for m in worst if m.evidence}
    group.last = remembered(worst[0])
    if status != "acknowledged":
        group.told_ms = scene.now_ms
    _emit(group, scene, worst, len(members), status, reason, number, channels, scene.labels[worst[0].alert], out, severity)


def _emit(
    group: AlertGroup, scene: Scene, worst: list[Member], count: int, status: str, reason: str, number: int,
    channels: Sequence[str], labels: Mapping[str, str], out: Effects, severity: str = "",
) -> None:  # fmt: skip
    message = notification(
        group, worst, count, status, reason, scene.window, labels, scene.now_ms, scene.policy.public_url, severity
    )
    for channel in dict.fromkeys(channels):
        sent = for_channel(message, group, number, channel)
        out.outbox.append((channel, sent))
        detail = {"key": sent.key, "channel": channel, "status": status, "count": count}
        _note(out, scene, "notified", group, sent.alert, group.ack_author if status == "acknowledged" else "", reason, detail)


def _note(
    out: Effects, scene: Scene, kind: str, group: AlertGroup, mark: str, author: str, reason: str, detail: dict[str, Any]
) -> None:
    """One entry of the trail."""
    row = {"at_ms": scene.now_ms, "kind": kind, "alert": mark, "grp": group.id, "author": author, "reason": reason}
    out.trail.append({**row, "detail": detail})
