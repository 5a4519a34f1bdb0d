"""Which statistics a feature gets, which of them is its headline `drift`, and why: what the config names, or by kind and rows.

The rows that decide are the reference's: they do not change from window to window, so neither does a score's meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from detectors.category import OTHER
from detectors.pairs import CategoryPair, NumericPair, Pair
from detectors.registry import STATISTICS, defaults

FEW_ROWS = 1000  # of the reference, as Evidently divides them
P_VALUE_OF = {"js": "chi2", "wasserstein": "ks", "cramers_v": "chi2"}  # whose test says whether a headline could be chance


@dataclass(frozen=True, slots=True)
class Choice:
    """Names of statistics: for all features (empty: automatic), and for single ones."""

    default: tuple[str, ...] = ()
    features: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def named(self, feature: str, kind: str) -> tuple[str, ...]:
        """What the config names that can be had of this kind; empty where it leaves the choice to us."""
        return tuple(dict.fromkeys(name for name in self.features.get(feature, self.default) if kind in STATISTICS[name].kinds))

    def statistics(self, feature: str, kind: str) -> tuple[str, ...]:
        return self.named(feature, kind) or defaults(kind)


def headline(pair: Pair, named: tuple[str, ...]) -> tuple[str, str]:
    """The statistic that speaks for a feature, and why it was chosen."""
    if named:
        return named[0], "named first in the config"
    few = pair.n < FEW_ROWS
    size = f"a reference of {'fewer than' if few else 'at least'} {FEW_ROWS} rows"
    if isinstance(pair, CategoryPair):
        if len(pair.reference.counts) == 1:  # of which chi-square says nothing where the window has it too
            return "js", "category, a reference of one value"
        return ("cramers_v" if few else "js"), f"category, {size}"
    if pair.infinite:
        return "ks", "infinite values, of which only the order counts"
    if pair.discrete:
        return "js", f"numeric with {pair.discrete} distinct values"
    if pair.spreadless:
        return "ks", "a reference whose values are too large or too small for a spread, of which only the order counts"
    return ("ks" if few else "wasserstein"), f"numeric, {size}"


def trouble(pair: Pair) -> str:
    """Why nothing can be said about a feature, "" where something can."""
    if pair.n == 0:
        return "the reference has no value of it"
    if pair.m == 0:
        return "all its values are missing"
    if isinstance(pair, NumericPair):
        return ""
    if pair.unknown:
        return pair.unknown
    named = [rows for value, rows in pair.reference.counts.items() if value != OTHER or pair.reference.rest is None]
    if pair.n >= 20 and 2 * len(named) > sum(named):
        return "most rows of the reference have a category of their own; declare the feature as text, or leave it out"
    return ""
