"""Champion against challenger as the config names them: each window adds a piece, all so far give the answer.

The pieces of a comparison's windows stand in model_state, KEEP of them, older ones added up in `base`. A window's scores
rest on its own piece and on those before. When a window is published again, the scores of the windows after it are written
anew in the same transaction; where that changes a level, the window is published anew with its alerts. A label that comes more than KEEP windows late is not counted.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass

from detectors.compare import (
    KEEP_WAITING,
    PROMOTE,
    ROLL_BACK,
    Comparison,
    Piece,
    compare,
)
from detectors.limits import judge
from detectors.score import Score
from detectors.score_names import worse
from monitor.config.compare import compare_subject, needs_labels
from monitor.kept_evidence import kept_evidence
from monitor.label_scores import is_mature
from monitor.model import Model, VersionComparison
from monitor.panes import Group
from monitor.stale import mark
from monitor.version_pieces import piece_of
from monitor.view import GroupView, Memory, WindowView

KEEP = 2000  # windows
_DIRTY = "compare-dirty"  # the first window of each comparison whose scores are out of date
AS_SCORE = {
    "error": "mae", "brier": "mae", "log_loss": "mae", "mse": "mae", "value": "value_per_event",
}  # that gets worse the same way; of what needs no labels, less is better  # fmt: skip
SHARES = ("accuracy", "error_share", "subset_accuracy")  # and the error of a classifier


def compared(view: WindowView) -> Iterable[tuple[Group, Score]]:
    """The scores of each comparison, on the challenger's group of all rows."""
    for wanted in view.model.compare:
        champion, challenger = (view.groups.get((v, "")) for v in (wanted.champion, wanted.challenger))
        piece = Piece() if champion is None or challenger is None else piece_of(wanted, champion, challenger, view)
        book = _Pieces(view.memory, view.model, wanted)
        if book.put(view.start_ms, piece):
            for score in book.scores(view.start_ms):
                yield (wanted.challenger, ""), score
        else:
            for score in _waiting(wanted, champion, challenger):
                yield (wanted.challenger, ""), score


def _waiting(wanted: VersionComparison, champion: GroupView | None, challenger: GroupView | None) -> Iterator[Score]:
    """The answers of a window that adds nothing and has nothing to say, with the reason."""
    absent = [v for v, group in ((wanted.champion, champion), (wanted.challenger, challenger)) if group is None or not group.rows]
    why = "no two rows are a pair yet" if wanted.paired else "too few rows have what the metric needs"
    if absent:
        why = f"the window has no row of version {' or '.join(absent)}"
    elif needs_labels(wanted.metric) and not all(is_mature(group) for group in (champion, challenger) if group is not None):
        why = "too few labels have come"
    for name in (PROMOTE, ROLL_BACK):
        evidence: dict[str, object] = {"answer": KEEP_WAITING, "reason": why}
        yield Score(_subject(wanted), name.replace(" ", "_"), math.nan, 0, f"version {wanted.champion}", evidence)


def settle_compared(memory: Memory, model: Model) -> None:
    """Write the scores of the windows anew that come after one that changed."""
    for wanted in model.compare:
        _Pieces(memory, model, wanted).settle()


@dataclass(slots=True)
class _Pieces:
    """The pieces of one comparison in the publishing transaction."""

    memory: Memory
    model: Model
    wanted: VersionComparison
    _name: str = ""
    _base: Piece = Piece()
    _windows: dict[int, Piece] | None = None

    def __post_init__(self) -> None:
        wanted = [*astuple(self.wanted)[:5], *(["by request"] if self.wanted.by_request else [])]
        key = json.dumps([wanted, self.model.slide_ms]).encode()
        self._name = f"compare:{hashlib.sha256(key).hexdigest()[:12]}"
        stored = self.memory.load_state(self._name)
        base, windows = json.loads(stored) if stored else ([], [])
        self._base, self._windows = Piece(*base), {start: Piece(*values) for start, *values in windows}

    @property
    def windows(self) -> dict[int, Piece]:
        assert self._windows is not None
        return self._windows

    def put(self, start: int, piece: Piece) -> bool:
        """Keep a window's piece; False where it has none, and had none."""
        known = self.windows.get(start)
        if known is None and piece == Piece():
            return False
        if known is None and len(self.windows) >= KEEP and start < min(self.windows):
            return False
        if known != piece:
            self.windows[start] = piece
            while len(self.windows) > KEEP:
                self._base += self.windows.pop(min(self.windows))
            rows = [[s, *astuple(p)] for s, p in sorted(self.windows.items())]
            self.memory.save_state(self._name, json.dumps([astuple(self._base), rows]).encode())
            if start < max(self.windows):
                self._mark(start)
        return True

    def _mark(self, start: int) -> None:
        dirty = self._dirty()
        dirty[self._name] = min(start, dirty.get(self._name, start))
        self.memory.save_state(_DIRTY, json.dumps(dirty).encode())

    def _dirty(self) -> dict[str, int]:
        stored = self.memory.load_state(_DIRTY)
        return dict(json.loads(stored)) if stored else {}

    def scores(self, start: int) -> list[Score]:
        total = self._base
        for at, piece in sorted(self.windows.items()):
            if at <= start:
                total += piece
        return list(_scores(self._compare(total), self.wanted, total))

    def _compare(self, total: Piece) -> Comparison:
        w = self.wanted
        is_share = w.metric in SHARES or (w.metric == "error" and self.model.schema.task != "regression")
        lower_is_better = not needs_labels(w.metric) or worse(AS_SCORE.get(w.metric, w.metric)) == "above"
        return compare(total, w.alpha, w.min_effect, lower_is_better, self.model.min_rows, is_share)

    def settle(self) -> None:
        dirty = self._dirty()
        first = dirty.pop(self._name, None)
        if first is None:
            return
        stored = {
            (row.window_start_ms, row.score): row
            for name in NAMES
            for row in self.memory.scores(_subject(self.wanted), name, first + 1, 2**62)
        }
        total, out = self._base, []
        for start, piece in sorted(self.windows.items()):
            total += piece
            if start <= first:
                continue
            scores = list(_scores(self._compare(total), self.wanted, total))
            for finding in judge(scores, self.model.thresholds, self.model.min_rows):
                score, row = finding.score, stored.get((start, finding.score.name))
                if row is not None:
                    if row.level != finding.level:
                        mark(self.memory, [start])
                    value = score.value if math.isfinite(score.value) else None
                    shown = kept_evidence(finding, self.model.min_rows)
                    out.append(row._replace(value=value, rows=score.rows, level=finding.level, evidence=shown))
        self.memory.rewrite_scores(out)
        self.memory.save_state(_DIRTY, json.dumps(dirty).encode())


NAMES = ("compare_champion", "compare_challenger", "compare_effect", "compare_effect_low", "compare_effect_high",
         "promote", "roll_back")  # fmt: skip


def _subject(wanted: VersionComparison) -> str:
    return compare_subject(wanted.champion, wanted.challenger, wanted.metric)


def _scores(found: Comparison, wanted: VersionComparison, total: Piece) -> Iterator[Score]:
    rows = int(min(total.champion, total.challenger))
    evidence: dict[str, object] = {
        "answer": found.answer,
        "metric": wanted.metric,
        "champion": {"version": wanted.champion, "rows": int(total.champion), "mean": _round(found.champion)},
        "challenger": {"version": wanted.challenger, "rows": int(total.challenger), "mean": _round(found.challenger)},
        "effect": _round(found.effect),
        "interval": [_round(found.low), _round(found.high)],
        "alpha": wanted.alpha,
        "min_effect": wanted.min_effect,
        "paired": ("by request" if wanted.by_request else "by ts") if wanted.paired else False,
    }
    values = (found.champion, found.challenger, found.effect, found.low, found.high,
              float(found.answer == PROMOTE), float(found.answer == ROLL_BACK))  # fmt: skip
    for name, value in zip(NAMES, values, strict=True):
        yield Score(_subject(wanted), name, value, rows, f"version {wanted.champion}", dict(evidence))


def _round(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
