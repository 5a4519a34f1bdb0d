"""What all detectors of a stream of errors share: batches in, the indices at which they fire out, state as bytes.

    errors of rows 0..n in batches  --update-->  Hits(fired, warned)   indices since the stream began

A detector that has fired starts afresh with the next row, as River's do. Any split of the stream into batches gives
the same indices: what crosses a batch's end is carried as exact state, and running sums are added in the rows' order.
A detector describes a block of rows at once: where it would fire, where it is in its warning zone, and its state
after every row; `Scan` cuts the block at the first firing.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from detectors import frame
from detectors.columns import Bools, Floats, Ints

FORMAT = 1
FIRST_BLOCK, MAX_BLOCK = 256, 8192  # rows looked at together: few after a firing, as another may follow soon


@dataclass(frozen=True, slots=True)
class Hits:
    """Indices (int64, ascending, the stream's first row is 0). warned: where a warning zone was entered."""

    fired: Ints
    warned: Ints


@dataclass(frozen=True, slots=True)
class Block:
    """A block of k rows as a detector sees it before it fires: arrays of shape (k,).

    state: the value of each of the detector's numbers after each row.
    """

    fire: Bools
    warn: Bools
    state: dict[str, Floats]


class Detector(ABC):
    """A detector of change in a stream of errors. name: as in the config. binary: it takes only 0 (right) and 1 (wrong)."""

    name: ClassVar[str]
    binary: ClassVar[bool] = False

    def __init__(self, **options: float) -> None:
        self.options = options
        self.seen = 0

    def update(self, errors: Floats) -> Hits:
        """Take the next rows, shape (n,). Raises ValueError for what is not finite, or neither 0 nor 1 where it must be."""
        x = np.ascontiguousarray(errors, dtype=np.float64)
        if x.ndim != 1 or not np.isfinite(x).all():
            raise ValueError(f"{self.name}: errors must be one row of finite numbers; leave out what is missing")
        if self.binary and not ((x == 0.0) | (x == 1.0)).all():
            raise ValueError(f"{self.name}: errors must be 0 or 1; for other errors use adwin, page_hinkley, kswin, cusum or gma")
        fired, warned = self._take(x)
        start, self.seen = self.seen, self.seen + len(x)
        return Hits(np.array(fired, dtype=np.int64) + start, np.array(warned, dtype=np.int64) + start)

    def to_bytes(self) -> bytes:
        head = json.dumps([self.name, self.options, self.seen]).encode()
        return bytes([FORMAT]) + frame.join([head, *self._save()])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises ValueError for a format, or a detector, that is another one."""
        if not data or data[0] != FORMAT:
            raise ValueError(f"state of a stream detector of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
        head, *parts = frame.split(data[1:])
        name, options, seen = json.loads(head)
        if name != cls.name:
            raise ValueError(f"state of stream detector {name!r}, not of {cls.name!r}")
        out = cls(**options)
        out.seen = seen
        out._load(parts)
        return out

    @abstractmethod
    def _take(self, x: Floats) -> tuple[list[int], list[int]]:
        """Where it fired and entered its warning zone, as positions in x."""

    @abstractmethod
    def _save(self) -> list[bytes]: ...

    @abstractmethod
    def _load(self, parts: list[bytes]) -> None: ...


class Scan(Detector):
    """A detector whose state is a handful of numbers that a block of rows moves by cumulative operations."""

    fresh: ClassVar[dict[str, float]]

    def __init__(self, **options: float) -> None:
        super().__init__(**options)
        self._state = dict(self.fresh)
        self._in_zone = False

    @abstractmethod
    def _block(self, x: Floats, before: dict[str, float]) -> Block:
        """What these rows do to the state `before` them, as long as the detector does not fire."""

    def _take(self, x: Floats) -> tuple[list[int], list[int]]:
        fired: list[int] = []
        warned: list[int] = []
        at, size = 0, FIRST_BLOCK
        while at < len(x):
            block = self._block(x[at : at + size], self._state)
            rows = len(block.fire)
            hit = int(block.fire.argmax())
            fires = bool(block.fire[hit])
            end = hit + 1 if fires else rows
            zone = block.warn[:end] & ~block.fire[:end]
            entered = zone & ~np.concatenate([[self._in_zone], zone[:-1]])
            warned += (np.flatnonzero(entered) + at).tolist()
            if fires:
                fired.append(at + hit)
                self._state, self._in_zone, size = dict(self.fresh), False, FIRST_BLOCK
            else:
                self._state = {name: float(values[-1]) for name, values in block.state.items()}
                self._in_zone, size = bool(zone[-1]), min(2 * size, MAX_BLOCK)
            at += end
        return fired, warned

    def _save(self) -> list[bytes]:
        return [json.dumps([self._in_zone, self._state]).encode()]

    def _load(self, parts: list[bytes]) -> None:
        self._in_zone, self._state = json.loads(parts[0])


def counted(before: float, rows: int) -> Floats:
    """The numbers of the rows since the start: before + 1, before + 2, ..."""
    return before + np.arange(1.0, rows + 1.0)


def running_sum(before: float, x: Floats) -> Floats:
    """Sums from `before` on, added one after the other, so that a split of x changes no bit."""
    total: Floats = np.cumsum(np.concatenate([[before], x]))[1:]
    return total


def decayed(before: float, x: Floats, decay: float) -> Floats:
    """y[i] = decay * y[i - 1] + x[i], from y[-1] = before; one after the other."""
    from scipy.signal import lfilter  # not at start-up: scipy.signal takes a third of a second to import

    out: Floats = lfilter([1.0], [1.0, -decay], x, zi=[decay * before])[0]
    return out


def held(mark: Bools, values: Floats, before: float) -> Floats:
    """The value at the last marked row up to each row, `before` where none was."""
    at = np.maximum.accumulate(np.where(mark, np.arange(1, len(mark) + 1), 0))
    out: Floats = np.concatenate([[before], values])[at]
    return out


def require(problem: bool, message: str) -> None:
    """Raise ValueError with the message if there is a problem."""
    if problem:
        raise ValueError(message)
