"""Pairs of labels (predicted, true), bounded: over PAIRS of them, labels are folded away by their hashes.

Whether a label keeps its name at a level depends on nothing but the label, so that what is kept does not depend on the order
of rows or on how they were split: a summary stands at the lowest level at which its pairs fit. A level keeps KEEP of the labels
of the one below, chosen as if by lot, and those that keep their name keep all of their counts. What is right stays right:

    both folded and equal        (OTHER, OTHER)
    both folded, not equal       (OTHER, ANOTHER)
    one of both                  its name, and OTHER

Only a summary that held more than PAIRS pairs for a while, of which some were taken back, may stand higher than one that never did.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b

PAIRS = 20_000
KEEP = 0.8
OTHER = "__other__"
ANOTHER = "__another__"

Pairs = dict[tuple[str, str], int]


def keeps_name(label: str, level: int) -> bool:
    """Whether a label is counted by name at a level. Level 0 keeps all."""
    return level == 0 or _last_level(label) >= level


@lru_cache(maxsize=PAIRS)
def _last_level(label: str) -> int:
    """The highest level at which a label keeps its name."""
    lot = (int.from_bytes(blake2b(label.encode(), digest_size=6).digest()) + 0.5) / 2.0**48
    return int(math.log(lot) / math.log(KEEP))


def folded(pairs: Mapping[tuple[str, str], int], level: int) -> Pairs:
    """Counts of pairs as they are at a level, which is not below the one that they are at already; none of them 0."""
    if level == 0:
        return {pair: rows for pair, rows in pairs.items() if rows}
    named = {label for label in {label for pair in pairs for label in pair} if _last_level(label) >= level} - {OTHER, ANOTHER}
    out: Pairs = {}
    for pair, rows in pairs.items():
        predicted, true = pair
        if predicted in named:
            if true not in named:
                pair = (predicted, OTHER)
        elif true in named:
            pair = (OTHER, true)
        else:
            pair = (OTHER, OTHER if predicted == true else ANOTHER)
        out[pair] = out.get(pair, 0) + rows
    return {pair: rows for pair, rows in out.items() if rows}


def added(one: Pairs, level: int, other: Mapping[tuple[str, str], int], other_level: int) -> tuple[Pairs, int]:
    """The sum of two counts of pairs, and the level at which it fits. Changes `one` where that will do."""
    if other_level > level:
        one, level = folded(one, other_level), other_level
    for pair, rows in (other if level == other_level else folded(other, level)).items():
        total = one.get(pair, 0) + rows
        if total:
            one[pair] = total
        else:
            one.pop(pair, None)
    if len(one) <= PAIRS:
        return one, level
    step = 1
    while len(fits := folded(one, level + step)) > PAIRS:
        step *= 2
    if step > 1:
        lowest = level + step // 2 + 1
        level = lowest + bisect_left(range(lowest, level + step), True, key=lambda at: len(folded(one, at)) <= PAIRS)
        return folded(one, level), level
    return fits, level + 1


def by_label(pairs: Mapping[tuple[str, str], int], side: int) -> dict[str, int]:
    """Rows by predicted label (side 0) or true label (side 1), what was folded under OTHER."""
    out: dict[str, int] = {}
    for pair, rows in pairs.items():
        label = OTHER if pair[side] == ANOTHER else pair[side]
        out[label] = out.get(label, 0) + rows
    return out


def with_names(counts: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """Counts by label, those that are none of `names` under OTHER."""
    known = set(names)
    out: dict[str, int] = {}
    for label, rows in counts.items():
        label = label if label in known else OTHER
        out[label] = out.get(label, 0) + rows
    return out
