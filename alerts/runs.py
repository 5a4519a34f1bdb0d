"""The marks of an alert's windows as runs of equal marks: months of calm are one entry, and any window can be revised.

    [[first_ms, last_ms, mark], ...]   starts of windows, a slide apart within a run; a gap begins a new run

Plain lists, since they are stored as they are. All functions but `windows` change them in place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

Runs = list[list[Any]]  # [first_ms: int, last_ms: int, mark: str]


def put(runs: Runs, start_ms: int, mark: str | None, slide_ms: int) -> str | None:
    """Give a window its mark, or with None take it away; returns the one that it had, None where it had none."""
    if not runs or start_ms > runs[-1][1]:
        if mark is None:
            return None
        if runs and runs[-1][2] == mark and runs[-1][1] + slide_ms == start_ms:
            runs[-1][1] = start_ms
        else:
            runs.append([start_ms, start_ms, mark])
        return None
    at = bisect_right(runs, start_ms, key=lambda run: run[0]) - 1
    if at < 0 or start_ms > runs[at][1]:
        if mark is None:
            return None
        runs.insert(at + 1, [start_ms, start_ms, mark])
        _join(runs, at + 1, slide_ms)
        return None
    first, last, old = runs[at]
    if old != mark:
        before = [[first, start_ms - slide_ms, old]] if first < start_ms else []
        after = [[start_ms + slide_ms, last, old]] if start_ms < last else []
        runs[at : at + 1] = [*before, *([[start_ms, start_ms, mark]] if mark is not None else []), *after]
        if mark is not None:
            _join(runs, at + len(before), slide_ms)
    return str(old)


def windows(runs: Runs, from_ms: int, slide_ms: int) -> Iterator[tuple[int, str]]:
    """(start, mark) of the windows that start at or after from_ms, in order."""
    for first, last, mark in runs:
        if last >= from_ms:
            behind = -(-max(0, from_ms - first) // slide_ms)
            yield from ((at, mark) for at in range(first + behind * slide_ms, last + 1, slide_ms))


def _join(runs: Runs, at: int, slide_ms: int) -> None:
    """Make one of a run and its neighbours where they go on from each other with the same mark."""
    for left in (at, at - 1):
        if 0 <= left < len(runs) - 1:
            (_, end, mark), (begin, last, other) = runs[left], runs[left + 1]
            if mark == other and end + slide_ms == begin:
                runs[left][1] = last
                del runs[left + 1]
