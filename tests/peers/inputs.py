"""The rows that other tools' printed numbers are for (tests/peers/*.json): by name, reference and window, each from its own seed.

numpy.random.RandomState draws the same numbers in every release.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]
State = np.random.RandomState

NUMBERS: dict[str, Callable[[State], Pair]] = {
    "normal": lambda r: (r.normal(0, 1, 250), r.normal(0.3, 1.2, 180)),
    "gamma": lambda r: (r.gamma(2, 3, 240), r.gamma(2.4, 3, 160)),
    "many rows": lambda r: (r.lognormal(0, 1, 3000), r.lognormal(0.1, 1.1, 1200)),
    "same": lambda r: (r.normal(0, 1, 400), r.normal(0, 1, 300)),
    "few values": lambda r: (r.randint(0, 5, 300).astype(float), r.randint(0, 6, 200).astype(float)),
    "many ties": lambda r: (np.round(r.gamma(2, 2, 500)), np.round(r.gamma(2.3, 2, 400))),
    "zeros": lambda r: (r.gamma(1, 1, 400) * (r.rand(400) < 0.6), r.gamma(1, 1, 300) * (r.rand(300) < 0.5)),
    "apart": lambda r: (r.normal(0, 1, 200), r.normal(9, 1, 150)),
    "ones and zeros": lambda r: ((r.rand(300) < 0.4).astype(float), (r.rand(200) < 0.5).astype(float)),
    "few rows": lambda r: (r.normal(0, 1, 18), r.normal(0.8, 1, 14)),
}
CATEGORIES: dict[str, Callable[[State], tuple[dict[str, int], dict[str, int]]]] = {
    "three": lambda r: (_drawn(r, "abc", 200), _drawn(r, "abc", 150, [0.5, 0.3, 0.2])),
    "two": lambda r: (_drawn(r, "ab", 200), _drawn(r, "ab", 150, [0.6, 0.4])),
    "two, equal rows": lambda r: (_drawn(r, "ab", 200), _drawn(r, "ab", 200, [0.6, 0.4])),
    "three, equal rows": lambda r: (_drawn(r, "abc", 300), _drawn(r, "abc", 300, [0.4, 0.3, 0.3])),
    "new": lambda r: (_drawn(r, "abc", 300), _drawn(r, "abcd", 200)),
    "gone": lambda r: (_drawn(r, "abcd", 300), _drawn(r, "abc", 200)),
    "rare": lambda r: (_drawn(r, "abcdef", 900, RARE), _drawn(r, "abcdef", 250, RARE[:-2] + RARE[:-3:-1])),
    "rare of two": lambda r: ({"a": 985, "b": 15}, {"a": 120, "b": 4}),
    "many rows": lambda r: (_drawn(r, "abcde", 5000), _drawn(r, "abcde", 3000, [0.22, 0.2, 0.2, 0.2, 0.18])),
}
RARE = [0.6, 0.25, 0.1, 0.03, 0.015, 0.005]


def number_pairs() -> dict[str, Pair]:
    return {name: draw(State(31 + i)) for i, (name, draw) in enumerate(NUMBERS.items())}


def category_pairs() -> dict[str, tuple[dict[str, int], dict[str, int]]]:
    return {name: draw(State(131 + i)) for i, (name, draw) in enumerate(CATEGORIES.items())}


def _drawn(state: State, values: str, rows: int, shares: list[float] | None = None) -> dict[str, int]:
    drawn = state.choice(list(values), rows, p=shares)
    return {v: int((drawn == v).sum()) for v in values if (drawn == v).any()}


def tables() -> dict[str, Pair]:
    """Eight columns, the first of a few whole numbers (categories), the others moved by so much."""
    out = {}
    for i, moved in enumerate((0.0, 0.1, 0.15, 0.2, 0.25, 0.3)):
        state = State(231 + i)
        before, after = state.normal(0, 1, (400, 8)), state.normal(moved, 1, (300, 8))
        before[:, 0], after[:, 0] = state.randint(0, 4, 400), state.randint(0, 4, 300)
        out[f"moved by {moved}"] = (before, after)
    return out
