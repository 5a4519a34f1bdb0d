"""The drift of one feature: its statistics against the reference, and `drift`, the one of them that speaks for it.

Every feature that has a reference gets a `drift` score. Where nothing can be said its value is NaN, which is judged
`unsure`, and its evidence says why; so where a statistic raises, which costs that one alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from detectors.category import CategorySummary
from detectors.choice import P_VALUE_OF, Choice, headline, trouble
from detectors.evidence import Moved
from detectors.pairs import CategoryPair, Numeric, NumericPair, Pair
from detectors.registry import STATISTICS
from detectors.score import NUMERIC_ERRORS, Score, why_failed

AUTO = Choice()


def numeric_drift(subject: str, current: Numeric, reference: Numeric, name: str, choice: Choice = AUTO) -> Iterator[Score]:
    """Scores of a numeric column; name is the reference's. Raises ValueError where both have no cells in common."""
    return pair_drift(subject, NumericPair(reference, current), "numeric", name, choice)


def category_drift(
    subject: str, current: CategorySummary, reference: CategorySummary, name: str, choice: Choice = AUTO
) -> Iterator[Score]:
    """Scores of a column of categories; name is the reference's."""
    return pair_drift(subject, CategoryPair(reference, current), "category", name, choice)


def nothing_to_say(subject: str, rows: int, name: str, why: str) -> Score:
    """The `drift` of a feature of which nothing can be said."""
    return Score(subject, "drift", math.nan, rows, name, {"reason": why})


def pair_drift(subject: str, pair: Pair, kind: str, name: str, choice: Choice) -> Iterator[Score]:
    """Scores of a pair; kind is "numeric" or "category"."""
    why = trouble(pair)
    if why:
        yield nothing_to_say(subject, pair.m, name, why)
        return
    more = Moved(pair)
    values: dict[str, float] = {}
    failures: dict[str, dict[str, object]] = {}
    for statistic in choice.statistics(subject, kind):
        found, failed = _values(pair, statistic)
        values |= found
        if failed:
            failures |= dict.fromkeys(found, failed)
        for score_name, value in found.items():
            yield Score(subject, score_name, value, pair.m, name, failed, None, more)
    chosen, because = headline(pair, choice.named(subject, kind))
    if chosen not in values:
        found, failed = _values(pair, chosen)
        values[chosen], failures[chosen] = found[chosen], failed
    said: dict[str, object] = {"statistic": chosen, "because": because}
    p_value = values.get(f"{P_VALUE_OF.get(chosen, chosen)}_p")
    if p_value is not None and math.isfinite(p_value):
        said["p_value"] = float(f"{p_value:.4g}")
    if not math.isfinite(values[chosen]):
        said |= failures.get(chosen) or {"reason": f"{chosen} is not defined for these values"}
    yield Score(subject, "drift", values[chosen], pair.m, name, said, more=more)


def _values(pair: Pair, name: str) -> tuple[dict[str, float], dict[str, object]]:
    """The value and its p-value, NaN where a function raised; and why it did."""
    statistic = STATISTICS[name]
    try:
        if statistic.p_value is None:
            return {name: statistic.value(pair)}, {}
        return {name: statistic.value(pair), f"{name}_p": statistic.p_value(pair)}, {}
    except NUMERIC_ERRORS as error:
        return dict.fromkeys((name,) if statistic.p_value is None else (name, f"{name}_p"), math.nan), why_failed(error)
