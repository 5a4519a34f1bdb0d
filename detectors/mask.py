"""What `sample.mask` hides: the columns that no sample of rows keeps, and the values of categories that no score tells.

A masked feature is counted and scored like any other. Its figures (shares, quantiles, distances) are of many rows and are told; the names
of its categories are values of rows, and are told nowhere: no score `share:VALUE`, and in evidence `(masked 1)`, `(masked 2)`, ...
A feature that is derived (detectors/kinds.py) is hidden with all of its columns: an age in days is the date.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from detectors.columns import Schema
from detectors.kinds import derived_names
from detectors.score import Score

SAMPLE = "sample"  # the part whose options hold the mask
SHARE = "share:"


def hidden_columns(schema: Schema, mask: frozenset[str] | None = None) -> frozenset[str]:
    """The masked columns as they are counted. mask: None for that of the schema's sample."""
    named = frozenset(schema.parts.get(SAMPLE, {}).get("mask", ())) if mask is None else mask
    numeric, categorical = derived_names({f: kind for f, kind in schema.kinds.items() if f in named})
    return named | {*numeric, *categorical}


def hidden_categories(schema: Schema) -> frozenset[str]:
    """The masked columns whose values have names."""
    return hidden_columns(schema) & {*schema.categorical}


def unnamed(score: Score) -> Score | None:
    """A score of a masked category without the names of its values; None where it is named after one."""
    if score.name.startswith(SHARE):
        return None
    return score if score.more is None else replace(score, more=_Unnamed(score.more))


def masked_names(names: list[str]) -> list[str]:
    return [f"(masked {i})" for i in range(1, len(names) + 1)]


@dataclass(frozen=True, slots=True)
class _Unnamed:
    """Evidence of what moved (detectors/evidence.py) without names."""

    more: Callable[[], dict[str, object]]

    def __call__(self) -> dict[str, object]:
        told = dict(self.more())
        cells = told.get("cells")
        known = [str(name) for name in cells] if isinstance(cells, list) else []
        others = masked_names(known)
        if isinstance(moved := told.get("moved"), list):
            told["moved"] = [
                {**m, "category": dict(zip(known, others, strict=True)).get(m.get("category"), "(masked)")} for m in moved
            ]
        if known:
            told["cells"] = others
        if isinstance(new := told.get("new"), list):
            told["new"] = masked_names(new)
        return told
