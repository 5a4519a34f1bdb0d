"""What a statistic of drift is: a pure function of a pair of summaries, and everything that is said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Function = Callable[[Any], float]  # of a NumericPair or a CategoryPair, as `kinds` says


@dataclass(frozen=True, slots=True)
class Statistic:
    """kinds: "numeric", "category". worse: "above", "below", or "either" for a signed change. bounds: least and greatest value.

    p_value: published as NAME_p, where the field has one. error: the bound on how far cells put the value from that of
    the rows themselves (0: it is exact), and error_text the same in words. default: computed unless the config says otherwise.
    """

    text: str
    formula: str
    source: str
    kinds: tuple[str, ...]
    value: Function
    error_text: str
    p_value: Function | None = None
    error: Function = lambda pair: 0.0
    worse: str = "above"
    unit: str = ""
    bounds: tuple[float, float] = (0.0, float("inf"))
    default: bool = False
