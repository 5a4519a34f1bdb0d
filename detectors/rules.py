"""Rules that rows keep, counted row by row: an optional part of a window's summary.

Options: {"rules": [[subject, score, expression], ...], "freshness": true or false}. A rule is violated where its
expression is false; where it is unknown, because something is missing, it is neither kept nor violated. Freshness
keeps the newest event's time and how long events took to reach the log (numbers["ingest_delay_ms"]).

Size: 24 bytes a rule, and at most 20 kB for the delays.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detectors import frame
from detectors.columns import Columns, Ints, Schema
from detectors.expression import Expression, fields_of, parse_expression
from detectors.latency import LatencySummary
from detectors.score import Score

FORMAT = 1
VIOLATIONS = ("violation_share", "range_violation_share", "length_violation_share", "pattern_violation_share")
NEVER = -(2**63)
_HEAD = struct.Struct("<BIqq")


def feature_rules(
    feature: str, span: tuple[float, float] | None, length: tuple[float, float] | None, pattern: str | None
) -> list[tuple[str, str]]:
    """(score, expression) of what the values of one feature must be like."""
    field, out = f"features[{feature!r}]", []
    if span is not None:
        out.append(("range_violation_share", f"{span[0]!r} <= {field} <= {span[1]!r}"))
    if length is not None:
        out.append(("length_violation_share", f"{length[0]!r} <= len({field}) <= {length[1]!r}"))
    if pattern is not None:
        out.append(("pattern_violation_share", f"matches({field}, {pattern!r})"))
    return out


@dataclass(slots=True)
class RuleSummary:
    """answers counts false, unknown and true of each rule, shape (rules, 3). newest_ms: NEVER without rows."""

    subjects: tuple[tuple[str, str], ...]  # (subject, score) of each rule
    expressions: tuple[Expression, ...]
    freshness: bool
    answers: Ints
    rows: int = 0
    newest_ms: int = NEVER
    delay: LatencySummary | None = None

    @staticmethod
    def empty(schema: Schema) -> RuleSummary:
        """Raises ExpressionError for rules that the schema's fields do not allow."""
        options = schema.parts["rules"]
        fields = fields_of(schema)
        rules = [(subject, score, parse_expression(text, fields)) for subject, score, text in options["rules"]]
        return RuleSummary(
            subjects=tuple((subject, score) for subject, score, _ in rules),
            expressions=tuple(expression for _, _, expression in rules),
            freshness=options["freshness"],
            answers=np.zeros((len(rules), 3), dtype=np.int64),
            delay=LatencySummary() if options["freshness"] else None,
        )

    def add(self, columns: Columns) -> None:
        """Add rows; expressions read their columns, shape (columns.rows,)."""
        self.rows += columns.rows
        for i, expression in enumerate(self.expressions):
            self.answers[i] += np.bincount(expression.truth(columns), minlength=3)
        if self.delay is None or columns.rows == 0:
            return
        if columns.ts_ms is not None:
            self.newest_ms = max(self.newest_ms, int(columns.ts_ms.max()))
        if "ingest_delay_ms" in columns.numbers:
            self.delay.add(columns.numbers["ingest_delay_ms"])

    def merge(self, other: RuleSummary) -> None:
        """Raises ValueError for counts of other rules."""
        if self.answers.shape != other.answers.shape:
            raise ValueError(f"counts of {len(self.answers)} and of {len(other.answers)} rules do not merge")
        self.rows += other.rows
        self.answers += other.answers
        self.newest_ms = max(self.newest_ms, other.newest_ms)
        if self.delay is not None and other.delay is not None:
            self.delay.merge(other.delay)

    def to_bytes(self) -> bytes:
        head = _HEAD.pack(FORMAT, len(self.answers), self.rows, self.newest_ms)
        names = "\n".join(e.text for e in self.expressions).encode()
        delay = b"" if self.delay is None else self.delay.to_bytes()
        return frame.join([head, names, self.answers.astype("<i8").tobytes(), delay])

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> RuleSummary:
        """Counts of rules that the config has changed since are dropped. Raises ValueError for an unknown format."""
        head, names, answers, delay = frame.split(data)
        form, rules, rows, newest = _HEAD.unpack(head)
        if form != FORMAT:
            raise ValueError(f"rule summary of format {form}: this release reads format {FORMAT}. Upgrade driftd.")
        out = RuleSummary.empty(schema)
        out.rows, out.newest_ms = rows, newest
        counts = np.frombuffer(answers, dtype="<i8").reshape(rules, 3).astype(np.int64)
        known = dict(zip(names.decode().split("\n"), counts, strict=False)) if rules else {}
        for i, expression in enumerate(out.expressions):
            out.answers[i] = known.get(expression.text, 0)
        if out.delay is not None and delay:
            out.delay = LatencySummary.from_bytes(delay)
        return out


def score_rules(part: RuleSummary, end_ms: int) -> Iterator[Score]:
    """The share of violations of each rule, and how fresh the window's events are; end_ms is the window's end."""
    for (subject, name), (false, unknown, true) in zip(part.subjects, part.answers.tolist(), strict=True):
        judged = false + true
        evidence: dict[str, object] = {"violations": false, "kept": true, "unknown": unknown}
        yield Score(subject, name, false / judged if judged else math.nan, judged, evidence=evidence)
    if part.delay is None:
        return
    age = float(end_ms - part.newest_ms) if part.newest_ms != NEVER else math.nan
    yield Score("traffic", "newest_event_age_ms", age, part.rows)
    for label, q in (("p50", 0.5), ("p95", 0.95)):
        if part.delay.rows:
            yield Score("traffic", f"ingest_delay_{label}_ms", part.delay.quantile(q), part.delay.rows)
