"""Concept drift on the stream of errors: detectors are folded over the windows' traces in event-time order.

Labels come in no order, and a window may be published again. So that the results are functions of the panes all the
same, a detector remembers a bounded past: time is cut into epochs of EPOCH windows, a chain of detectors begins afresh
with each epoch, and a window is judged by the chain that began with the epoch before its own.

    epoch          |    1    |    2    |    3    |
    chain of 1     begins ===> judges                   a detector has seen between EPOCH and 2 EPOCH windows
    chain of 2               begins ===> judges

The chain also holds the errors by score of its windows: for a model without a reference of labelled rows, a window's change
of performance is split against these earlier windows (tumbling windows only, as sliding ones share their rows).

Each window leaves an entry: the trace of its errors, the detectors' states after it, and where they fired. When a window
changes, the entries after it in its epoch and the next one are folded anew before the transaction ends, and the scores
of those whose firings changed are written again; where that changes a level, the window is published anew with its alerts. A window
takes part once min_coverage of its rows have labels. Entries are kept for KEEP epochs: beyond that a late label finds
detectors that begin afresh.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from detectors.error_cells import PART as ERROR_CELLS
from detectors.limits import judge
from detectors.score import Score
from detectors.trace import PART, ErrorTrace
from monitor.concept_entry import Entry, advance, learn, mean_errors, scores_of
from monitor.kept_evidence import kept_evidence
from monitor.label_scores import is_mature
from monitor.model import Model
from monitor.panes import Group
from monitor.split import SUBJECT
from monitor.stale import mark
from monitor.view import GroupView, Memory, WindowView

FORMAT = 2  # of an entry; others are dropped
EPOCH = 32  # windows; a detector remembers up to twice as many
KEEP = 320  # epochs whose entries are kept: a week of windows of a minute
_STATE = "concept"  # the settings, the epochs that have entries, and the first window of those that must be folded anew


def concept(view: WindowView) -> Iterable[tuple[Group, Score]]:
    """How often each detector fired in the window, and how many where errors rose, for each version, on its group of all rows."""
    if not view.model.concept:
        return
    traces, cells = {}, {}
    for (version, segment), group in sorted(view.groups.items()):
        performance = group.performance
        if segment == "" and performance is not None and PART in performance.parts:
            trace: ErrorTrace = performance.parts[PART].between(view.end_ms - view.model.slide_ms, view.end_ms)
            if len(trace.keys) and is_mature(group):
                traces[version] = trace.to_bytes()
                if _has_no_reference(group) and view.model.slide_ms == view.model.size_ms:
                    cells[version] = performance.parts[ERROR_CELLS].to_bytes()
    book = _Entries(view.memory, view.model)
    if book.put(view.start_ms, traces, cells):
        entry = book.fold(view.start_ms)
        for version in entry.fired:
            for score in scores_of(entry, version, view.model):
                yield (version, ""), score


def settle_concept(memory: Memory, model: Model) -> None:
    """Fold what this round of publishing left behind: windows after those that changed."""
    if model.concept:
        _Entries(memory, model).fold(None)


class _Entries:
    """The entries of a model in the publishing transaction. All states are read by their names: there may be thousands."""

    def __init__(self, memory: Memory, model: Model) -> None:
        self._memory, self._model = memory, model
        settings = json.dumps([FORMAT, model.concept, model.concept_rows, EPOCH, model.slide_ms], sort_keys=True)
        self._prefix = f"concept:{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
        stored = memory.load_state(_STATE)
        prefix, epochs, dirty = json.loads(stored) if stored else (self._prefix, [], {})
        if prefix != self._prefix:  # other settings: all begins anew
            for name in memory.state_names("concept:"):
                memory.drop_state(name)
            epochs, dirty = [], {}
        self._epochs: list[int] = epochs
        self._dirty: dict[int, int] = {int(epoch): first for epoch, first in dirty.items()}

    def put(self, start: int, traces: dict[str, bytes], cells: dict[str, bytes]) -> bool:
        """Keep a window's traces; False where there are none, and were none."""
        stored, epoch = self._memory.load_state(self._name(start)), start // (EPOCH * self._model.slide_ms)
        if stored is None and not traces:
            return False
        entry = Entry() if stored is None else Entry.from_bytes(stored)
        if stored is None:
            self._memory.save_state(f"{self._prefix}:{epoch}", json.dumps(sorted([*self._starts(epoch), start])).encode())
            self._epochs = sorted({*self._epochs, epoch})
            self._forget()
        if stored is None or (entry.traces, entry.cells) != (traces, cells):
            entry.traces, entry.cells = traces, cells
            self._memory.save_state(self._name(start), entry.to_bytes())
            self._mark(epoch, start)
            self._save()
        return True

    def fold(self, until: int | None) -> Entry:
        """Fold what is out of date, up to and with the window `until`, whose entry is returned; None for all."""
        before = dict(self._dirty)
        while waiting := [e for e, first in self._dirty.items() if until is None or first <= until]:
            self._fold_epoch(min(waiting), until)
        if before != self._dirty:
            self._save()
        stored = None if until is None else self._memory.load_state(self._name(until))
        return Entry() if stored is None else Entry.from_bytes(stored)

    def _fold_epoch(self, epoch: int, until: int | None) -> None:
        first = self._dirty.pop(epoch)
        starts = self._starts(epoch)
        earlier = [s for s in starts if s < first]
        if earlier:
            last = self._load(earlier[-1])
            young, judging = last.young, last.judging
        else:
            past = self._starts(epoch - 1)
            young, judging = {}, self._load(past[-1]).young if past else {}
        for start in starts[len(earlier) :]:
            if until is not None and start > until:
                self._mark(epoch, start)
                return
            entry = self._load(start)
            known = entry.fired, entry.splits, entry.means
            entry.young, entry.judging, entry.fired, entry.means, entry.splits = young, dict(judging), {}, {}, {}
            self._run(entry)
            young, judging = dict(entry.young), entry.judging
            self._memory.save_state(self._name(start), entry.to_bytes())
            if known[0] and known != (entry.fired, entry.splits, entry.means) and start != until:
                self._rewrite(start, entry)
        following = self._starts(epoch + 1)
        if following:
            self._mark(epoch + 1, following[0])

    def _run(self, entry: Entry) -> None:
        """Move both chains of an entry over its traces."""
        entry.young = dict(entry.young)
        for version, blob in entry.traces.items():
            errors, times = ErrorTrace.from_bytes(blob, self._model.schema).stream(self._model.concept_rows)
            advance(entry.young, version, errors, times, self._model)
            entry.means[version] = mean_errors(entry.judging, version, errors)
            if version in entry.cells:
                learn(entry.young, version, entry.cells[version], self._model)
                entry.splits[version] = learn(entry.judging, version, entry.cells[version], self._model)
            entry.fired[version] = advance(entry.judging, version, errors, times, self._model)

    def _rewrite(self, start: int, entry: Entry) -> None:
        rows = []
        for version in entry.fired:
            for finding in judge(scores_of(entry, version, self._model), self._model.thresholds, self._model.min_rows):
                score = finding.score
                for row in self._memory.scores(SUBJECT, score.name, start, start + 1):
                    if row.version == version:
                        if row.level != finding.level:
                            mark(self._memory, [start])  # its alerts move with it
                        shown = kept_evidence(finding, self._model.min_rows)
                        rows.append(row._replace(value=score.value, rows=score.rows, level=finding.level, evidence=shown))
        self._memory.rewrite_scores(rows)

    def _mark(self, epoch: int, start: int) -> None:
        self._dirty[epoch] = min(start, self._dirty.get(epoch, start))

    def _save(self) -> None:
        self._memory.save_state(_STATE, json.dumps([self._prefix, self._epochs, self._dirty]).encode())

    def _forget(self) -> None:
        """Drop the entries of epochs long gone."""
        for epoch in [e for e in self._epochs if e < self._epochs[-1] - KEEP]:
            for start in self._starts(epoch):
                self._memory.drop_state(self._name(start))
            self._memory.drop_state(f"{self._prefix}:{epoch}")
            self._epochs.remove(epoch)
            self._dirty.pop(epoch, None)

    def _name(self, start: int) -> str:
        return f"{self._prefix}:{start // (EPOCH * self._model.slide_ms)}:{start}"

    def _starts(self, epoch: int) -> list[int]:
        stored = self._memory.load_state(f"{self._prefix}:{epoch}")
        return [] if stored is None else list(json.loads(stored))

    def _load(self, start: int) -> Entry:
        stored = self._memory.load_state(self._name(start))
        return Entry() if stored is None else Entry.from_bytes(stored)


def _has_no_reference(group: GroupView) -> bool:
    there = group.performance is not None and ERROR_CELLS in group.performance.parts
    return there and (group.profile is None or ERROR_CELLS not in group.profile.extras)
