"""A closed window becomes scores, findings, alerts and outbox rows, in one transaction under the model's lock.

1. the watermark over all partitions says which windows are due, unsettled panes which lack or are out of date;
2. the partials of all partitions are merged in a fixed order;
3. the merged summaries are scored (analysis.py) and judged (verdicts.py), and move alerts (alerting.py);
4. window, scores, alert states and notifications are written, with the pane versions that went in;
5. then a tick: what is due without a window, as silence, repeats and escalation.

Any replica may do it: the result is a function of the stored partials, whoever merges them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from alerts.lifecycle import ClosedWindow
from detectors.score import Finding
from monitor.alerting import Alerting, AlertMemory
from monitor.analysis import analyse, settle
from monitor.baseline import LEARNING, Baseline
from monitor.checkpoint import Partial, PartitionState, ScoreRow, WindowRow
from monitor.events import PartitionKey
from monitor.kept_evidence import kept_evidence
from monitor.model import Model
from monitor.panes import Pane
from monitor.performance_pane import PerformancePane
from monitor.reference_scores import Described, describe_references
from monitor.stale import mark, stale, unmark
from monitor.verdicts import judge_guarded
from monitor.view import GroupView, Memory, WindowView
from monitor.watermark import global_watermark_ms

OWN_TOPICS = "http-events@"  # partitions that belong to one replica: monitor/sources/http_queue.py
DESERTED_MS = 300_000


class Publishing(Memory, AlertMemory, Described, Protocol):
    """The open transaction that holds a model's lock; see monitor/store/publish.py."""

    def partitions(self) -> list[PartitionState]: ...
    def unsettled(self) -> list[tuple[str, int, int]]: ...
    def partials(self, from_ms: int, to_ms: int) -> list[Partial]: ...
    def settle(self, panes: list[tuple[str, int]]) -> None: ...
    def write_window(self, window: WindowRow, scores: list[ScoreRow]) -> None: ...


@dataclass(frozen=True, slots=True)
class Published:
    """A window as it was just published."""

    window: WindowRow
    scores: list[ScoreRow]
    notifications: int
    delay_ms_mean: float | None
    failures: tuple[str, ...] = ()  # analysers that failed, once for each score that they owe


def publish_due(
    tx: Publishing,
    model: Model,
    reads: Callable[[PartitionKey], bool],
    now_ms: int,
    idle_timeout_ms: int,
    limit: int = 100,
    ended_ms: int | None = None,
) -> list[Published]:
    """Publish the windows of one model that are due or out of date, oldest first, at most `limit`; then tick.

    reads: whether the config still reads a partition; one that it left must not hold windows back for ever.
    ended_ms: given where the log has ended and no time passes, as in a replay: every window until then is due.
    """
    alerting = Alerting(tx, model, now_ms)
    partitions = [p for p in tx.partitions() if p.role == "events" and reads(p.key) and not _is_deserted(p, now_ms)]
    watermark = global_watermark_ms(partitions, now_ms, idle_timeout_ms) if ended_ms is None else ended_ms
    out, event_ms = _publish_windows(tx, model, watermark, now_ms, limit, alerting)
    timers = ended_ms is None
    if timers:
        alerting.tick(event_ms)
    alerting.save(timers)
    return out


def _publish_windows(
    tx: Publishing,
    model: Model,
    watermark: int | None,
    now_ms: int,
    limit: int,
    alerting: Alerting,
) -> tuple[list[Published], int | None]:
    """The windows published, and until when every window is; None where that is not known."""
    if watermark is None:
        return [], None
    event_ms = watermark - model.lateness_ms
    unsettled: dict[int, dict[str, int]] = {}
    for input_key, pane_start, version in tx.unsettled():
        unsettled.setdefault(pane_start, {})[input_key] = version
    outdated = stale(tx)
    if not unsettled and not outdated:
        return [], event_ms
    known = {w.start_ms: w for w in tx.windows(min([*unsettled, *outdated]) - model.size_ms)}
    due = sorted(set(_due(model, unsettled, known, watermark)) | outdated)
    if not due:
        return [], event_ms
    stored = tx.load_state("baseline")
    wanted = model.first_windows, model.min_rows
    baseline = Baseline.from_bytes(stored, *wanted) if stored else Baseline(*wanted)
    before = baseline.learned_name
    out, written, scored_at = [], dict(known), dict[int, int]()
    for start in due[:limit]:
        if start in outdated:
            unmark(tx, start)
        published = _publish_one(tx, model, start, known.get(start), alerting, baseline, now_ms)
        if published is not None:
            scored_at[start] = baseline.changes
            written[start] = published.window
            out.append(published)
    if baseline.changes:
        old = (w for w in tx.windows(0) if scored_at.get(w.start_ms, 0) < baseline.changes)
        mark(tx, (w.start_ms for w in old if _rests_on_another(w, baseline)))
    if baseline.touched is not None:  # how many rows were known by then is said of each
        mark(tx, (start for start in baseline.windows if start > baseline.touched and start in known and start not in scored_at))
    late = settle(tx, model)
    if out:
        out[-1] = replace(out[-1], failures=(*out[-1].failures, *late))
        describe_references(tx, model, baseline, {p.window.reference for p in out})
    if before != baseline.learned_name:
        tx.describe_reference(before, [])
    if baseline.touched is not None:
        tx.save_state("baseline", baseline.to_bytes())
    tx.settle(_settled(model, unsettled, written))
    return out, event_ms if len(due) <= limit else None


def _is_deserted(partition: PartitionState, now_ms: int) -> bool:
    """Whether a replica's own HTTP partition has lost its replica: nobody else will ever read it on."""
    own = partition.key.topic.startswith(OWN_TOPICS)
    return own and now_ms - partition.seen_at_ms > DESERTED_MS


def _rests_on_another(window: WindowRow, baseline: Baseline) -> bool:
    """Whether a window was scored against what the model had learned before, and would be scored otherwise now."""
    learned = baseline.name(window.start_ms)
    if window.reference == LEARNING:
        return learned != LEARNING
    return window.reference.startswith("first_") and window.reference.endswith("_windows")


def _windows_of(model: Model, pane_start: int) -> range:
    """The starts of the windows that a pane belongs to."""
    return range(pane_start - model.size_ms + model.slide_ms, pane_start + 1, model.slide_ms)


def _due(model: Model, unsettled: dict[int, dict[str, int]], known: dict[int, WindowRow], watermark: int) -> list[int]:
    """Windows that have ended and lack a pane's newest version."""
    due = set()
    for pane_start, versions in unsettled.items():
        for start in _windows_of(model, pane_start):
            if start + model.size_ms + model.lateness_ms > watermark:
                continue
            row = known.get(start)
            if row is None or any(row.inputs.get(key) != version for key, version in versions.items()):
                due.add(start)
    return sorted(due)


def _settled(model: Model, unsettled: dict[int, dict[str, int]], written: dict[int, WindowRow]) -> list[tuple[str, int]]:
    """(input key, version) of the panes whose windows all hold that one version."""
    out = []
    for pane_start, versions in unsettled.items():
        rows = [written.get(start) for start in _windows_of(model, pane_start)]
        for key in versions:
            held = {row.inputs.get(key) if row is not None else None for row in rows}
            version = held.pop() if len(held) == 1 else None
            if version is not None:
                out.append((key, version))
    return out


def _publish_one(
    tx: Publishing,
    model: Model,
    start: int,
    before: WindowRow | None,
    alerting: Alerting,
    baseline: Baseline,
    now_ms: int,
) -> Published | None:
    """None where the window cannot be made anew: retention took panes that it was made of."""
    end = start + model.size_ms
    partials = tx.partials(start, end)
    if before is not None and not set(before.inputs) <= {p.input_key for p in partials}:
        return None
    inputs, performance, late_rows = merge_partials(model, partials)
    revision = 1 if before is None else before.revision + 1
    profile = model.profile_named(inputs.profile)
    if profile is None:
        baseline.learn(inputs, start)
    scores: list[ScoreRow] = []
    reference = profile.name if profile else baseline.name(start)
    view = _view(tx, model, start, inputs, performance, late_rows, baseline, now_ms)
    failures = analyse(view)
    findings, unjudged = judge_guarded(view)
    for (version, segment), found in findings.items():
        scores.extend(_rows(model, version, segment, start, end, revision, found))
    labelled = performance.labelled
    window = WindowRow(
        model=model.name,
        start_ms=start,
        end_ms=end,
        revision=revision,
        rows=inputs.rows,
        labelled_rows=labelled,
        late_rows=late_rows,
        reference=reference,
        config_hash=model.config_hash,
        inputs={p.input_key: p.version for p in partials},
        published_ms=now_ms,
    )
    tx.write_window(window, scores)
    new_labels = labelled > (before.labelled_rows if before is not None else 0)
    sent = alerting.window(ClosedWindow(start, end, revision, inputs.rows, new_labels, findings))
    delay = performance.delay_ms_sum / labelled if labelled else None
    return Published(window, scores, sent, delay, (*failures, *unjudged))


def merge_partials(model: Model, partials: Iterable[Partial]) -> tuple[Pane, PerformancePane, int]:
    """Merge the panes of all partitions, in (source, topic, partition, kind, pane) order.

    Panes that count in another reference than most rows do are put into its cells (detectors/rebin.py): that happens only in
    sliding windows that lie on both sides of a switch, and where a replica could not learn of it in time. The window says so.
    """
    partials = list(partials)
    by_profile: dict[str, Pane] = {}
    performance = PerformancePane()
    late_rows = 0
    for partial in sorted(partials, key=lambda p: (p.key, p.kind, p.pane_start_ms)):
        if partial.kind == "performance":
            performance.merge(PerformancePane.from_bytes(partial.blob, model))
            continue
        if partial.kind == "late":
            late_rows += partial.rows
            continue
        pane = Pane.from_bytes(partial.blob, model)
        if pane.profile in by_profile:
            by_profile[pane.profile].merge(pane)
        else:
            by_profile[pane.profile] = pane
    if not by_profile:
        newest = max((p.pane_start_ms for p in partials), default=0)
        return Pane(model.profile_at(newest)), performance, late_rows
    first, *others = sorted(by_profile.values(), key=lambda pane: (pane.rows, pane.profile), reverse=True)
    for pane in others:
        first.merge_rebinned(model, pane)
    return first, performance, late_rows


def _view(
    tx: Publishing,
    model: Model,
    start: int,
    inputs: Pane,
    performance: PerformancePane,
    late_rows: int,
    baseline: Baseline,
    now_ms: int,
) -> WindowView:
    profile = model.profile_named(inputs.profile)
    end = start + model.size_ms
    groups = {}
    for version, segment in sorted(set(inputs.groups) | set(performance.groups)):
        group = version, segment
        groups[group] = GroupView(
            model=model,
            start_ms=start,
            end_ms=end,
            version=version,
            segment=segment,
            inputs=inputs.groups.get(group),
            performance=performance.groups.get(group),
            profile=None if profile is None else profile.of(segment),
            learned=baseline.summary(start, segment, model) if profile is None else None,
            reference=profile.name if profile is not None else baseline.name(start),
            no_reference="" if profile is not None else _why_none(baseline, start),
        )
    learned_from = frozenset(baseline.windows) if profile is None else frozenset()
    moved = (inputs.moved_rows, inputs.moved_off)
    return WindowView(model, start, end, now_ms, groups, late_rows, tx, {}, inputs.intake, learned_from, moved)


def _why_none(baseline: Baseline, start: int) -> str:
    """Why a group of a window is compared with nothing, should nothing be there to compare it with."""
    return baseline.progress(start) if baseline.name(start) == LEARNING else "the learned reference has no rows of this segment"


def _rows(model: Model, version: str, segment: str, start: int, end: int, revision: int, findings: list[Finding]) -> list[ScoreRow]:
    return [
        ScoreRow(
            model.name,
            version,
            segment,
            start,
            end,
            revision,
            f.score.subject,
            f.score.name,
            f.score.value if math.isfinite(f.score.value) else None,
            f.score.rows,
            f.score.reference,
            f.threshold,
            f.level,
            f.rule,
            kept_evidence(f, model.min_rows),
        )
        for f in findings
    ]
