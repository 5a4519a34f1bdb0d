"""HDDM_W: two exponentially weighted means, before and after the best cut point, by McDiarmid's bound.

Z is the weighted mean of all rows, c(n) = l^2 + (1 - l)^2 c(n - 1) with c(0) = 1 its bound's constant. The cut is where
Z + sqrt(c ln(1 / confidence) / 2) was least; X is Z at the cut, Y the weighted mean of the rows after it. Drift where
Y - X > sqrt((c_X + c_Y) ln(1 / confidence) / 2).
Frias-Blanco and others, IEEE TKDE 27(3), 2014. Fires where River's `drift.binary.HDDMW` does.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Bools, Floats
from detectors.stream.scan import Block, Scan, counted, decayed, held, require

_SIDES = (("up", 1.0), ("down", -1.0))


class HDDMW(Scan):
    """drift, warning: confidences, drift <= warning. weight: l, of the newest row. two_sided: 0 or 1."""

    name = "hddm_w"
    binary = True
    fresh = {"n": 0.0, "z": 0.0} | {
        f"{side}_{what}": value
        for side, _ in _SIDES
        for what, value in (("cut", math.inf), ("x", 0.0), ("x_n", 0.0), ("jump", 0.0))
    }

    def __init__(self, drift: float = 0.001, warning: float = 0.005, weight: float = 0.05, two_sided: float = 0) -> None:
        require(not 0 < drift <= warning < 1, "hddm_w: needs 0 < drift <= warning < 1")
        require(not 0.001 <= weight < 1, "hddm_w: needs 0.001 <= weight < 1")
        super().__init__(drift=drift, warning=warning, weight=weight, two_sided=two_sided)
        # c(n) until it no longer changes
        rows = int(45.0 / weight) + 2
        self._constant = np.concatenate([[1.0], decayed(1.0, np.full(rows, weight * weight), (1.0 - weight) ** 2)])

    def _c(self, n: Floats) -> Floats:
        found: Floats = self._constant[np.minimum(n, len(self._constant) - 1).astype(np.int64)]
        return found

    def _block(self, x: Floats, before: dict[str, float]) -> Block:
        weight = self.options["weight"]
        n = counted(before["n"], len(x))
        start = before["z"] if before["n"] else float(x[0])  # the first row is its own mean
        z = decayed(start, weight * x, 1.0 - weight)
        state = {"n": n, "z": z}
        fire = warn = np.zeros(len(x), dtype=np.bool_)
        for side, sign in _SIDES if self.options["two_sided"] else _SIDES[:1]:
            fires, warns = self._side(x, z, np.concatenate([[start], z[:-1]]), n, before, side, sign, state)
            fire, warn = fire | fires, warn | warns
        return Block(fire, warn, {name: state.get(name, np.full(1, value)) for name, value in before.items()})

    def _side(
        self,
        x: Floats,
        z: Floats,
        z_before: Floats,
        n: Floats,
        before: dict[str, float],
        side: str,
        sign: float,
        state: dict[str, Floats],
    ) -> tuple[Bools, Bools]:
        """Where the mean rose (sign 1) or fell (sign -1); adds this side's numbers to state."""
        level = sign * z + np.sqrt(self._c(n) * math.log(1.0 / self.options["drift"]) / 2.0)
        cut = np.minimum.accumulate(np.concatenate([[before[f"{side}_cut"]], level]))
        at_cut = level < cut[:-1]
        at_x, x_n = held(at_cut, z, before[f"{side}_x"]), held(at_cut, n, before[f"{side}_x_n"])
        since = n - x_n
        # Y follows from Z: they differ by what Z knew before the cut, which decays
        first = since == 1.0
        jump = held(first, x - z_before, before[f"{side}_jump"])
        y = z + (1.0 - self.options["weight"]) ** since * jump
        spread = self._c(x_n) + self._c(since)
        after = since >= 1.0
        change = sign * (y - at_x)
        state |= {f"{side}_cut": cut[1:], f"{side}_x": at_x, f"{side}_x_n": x_n, f"{side}_jump": jump}
        fire = after & (change > np.sqrt(spread * math.log(1.0 / self.options["drift"]) / 2.0))
        warn = after & (change > np.sqrt(spread * math.log(1.0 / self.options["warning"]) / 2.0))
        return fire, warn
