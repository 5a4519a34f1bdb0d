"""Comparisons of whole columns with three answers: FALSE, UNKNOWN (something was missing), TRUE.

Kleene's logic: with these numbers `and` is the lesser, `or` the greater, `not` the distance from TRUE.
Strings are compared in their dictionary, once a distinct value, and not once a row.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.columns import DictColumn, Floats

FALSE, UNKNOWN, TRUE = 0, 1, 2
Truth = npt.NDArray[np.int8]  # shape (rows,)

COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def numbers(op: str, left: Floats | float, right: Floats | float) -> Truth:
    """A comparison of numbers; NaN is missing, infinities compare as numbers do."""
    with np.errstate(invalid="ignore"):
        found = np.asarray(COMPARE[op](left, right))
    out = np.where(found, np.int8(TRUE), np.int8(FALSE))
    out[np.broadcast_to(np.isnan(left) | np.isnan(right), out.shape)] = UNKNOWN
    return out


def number_in(column: Floats, allowed: list[float]) -> Truth:
    out = np.where(np.isin(column, allowed), np.int8(TRUE), np.int8(FALSE))
    out[np.isnan(column)] = UNKNOWN
    return out


def by_value(column: DictColumn, answers: npt.ArrayLike) -> Truth:
    """An answer for each distinct value, spread over the rows; UNKNOWN where the string is missing."""
    table = np.where(np.append(np.asarray(answers, dtype=np.bool_), False), np.int8(TRUE), np.int8(FALSE))
    table[-1] = UNKNOWN  # code -1 indexes the last entry
    return table[column.codes]


def texts(op: str, left: DictColumn, right: DictColumn | str) -> Truth:
    """A comparison of strings, by code point; two columns are compared for equality only."""
    if isinstance(right, str):
        return by_value(left, [bool(COMPARE[op](value, right)) for value in left.values])
    table: dict[str, int] = {}
    mine = np.array([table.setdefault(v, len(table)) for v in left.values] + [-1])
    theirs = np.array([table.setdefault(v, len(table)) for v in right.values] + [-1])
    out = np.where(COMPARE[op](mine[left.codes], theirs[right.codes]), np.int8(TRUE), np.int8(FALSE))
    out[(left.codes < 0) | (right.codes < 0)] = UNKNOWN
    return out


def missing(column: Floats | DictColumn | Truth) -> Truth:
    """TRUE where the value is missing, else FALSE."""
    if isinstance(column, DictColumn):
        there = column.codes >= 0
    elif column.dtype == np.int8:
        there = column != UNKNOWN
    else:
        there = ~np.isnan(column)
    return np.where(there, np.int8(FALSE), np.int8(TRUE))


def mapped(column: DictColumn, change: Callable[[str], str]) -> DictColumn:
    """The column with each distinct value changed; values that become equal keep codes of their own."""
    return DictColumn(column.codes, [change(v) for v in column.values])


def lengths(column: DictColumn) -> Floats:
    """Characters of each string, NaN where missing, shape (rows,)."""
    return np.array([float(len(v)) for v in column.values] + [np.nan])[column.codes]
