"""A model server that does not exist: realistic credit decisions, with labels that come later.

Seeded and driven by the time that it is given, so that two runs make the same events. Three phases:
calm, then `income` drifts, then the relation between features and outcome changes and accuracy falls. Version 4, when it
is deployed, is good again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import orjson

REGIONS = ("MA", "NY", "CA", "TX")
CHANNELS = ("web", "app", "branch")


@dataclass(slots=True)
class SimulatedServer:
    """Makes events and labels. Times in ms; calm_ms and drift_ms are lengths of the first two phases."""

    start_ms: int
    calm_ms: int
    drift_ms: int
    events_per_second: float = 400.0
    label_delay_ms: int = 4_000
    seed: int = 7
    model: str = "credit"
    _rng: np.random.Generator = field(init=False)
    _made: int = 0
    _waiting: list[tuple[int, bytes]] = field(default_factory=list)
    _rollout: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    @property
    def made(self) -> int:
        """Events so far."""
        return self._made

    def phase(self, now_ms: int) -> str:
        since = now_ms - self.start_ms
        if since < self.calm_ms:
            return "calm"
        return "drift" if since < self.calm_ms + self.drift_ms else "concept"

    def deploy(self, share: float, from_ms: int) -> None:
        """From then on version 4 serves a share (0..1) of the traffic. It counts incomes in the money of its training data,
        and has learned the relation that holds since the third phase."""
        self._rollout.append((from_ms, share))

    def new_share(self, at_ms: int) -> float:
        """What share of the traffic version 4 serves."""
        return next((share for from_ms, share in reversed(self._rollout) if from_ms <= at_ms), 0.0)

    def events_until(self, now_ms: int) -> list[bytes]:
        """Events that the server logged up to now_ms and that were not taken yet."""
        due = int((now_ms - self.start_ms) * self.events_per_second / 1000.0)
        out = []
        for number in range(self._made, due):
            out.append(self._event(number))
        self._made = max(self._made, due)
        return out

    def labels_until(self, now_ms: int) -> list[bytes]:
        """Labels whose time has come."""
        ready = [text for at, text in self._waiting if at <= now_ms]
        self._waiting = [(at, text) for at, text in self._waiting if at > now_ms]
        return ready

    def _event(self, number: int) -> bytes:
        ts_ms = self.start_ms + int(number * 1000.0 / self.events_per_second)
        phase, rng = self.phase(ts_ms), self._rng
        inflation = 1.0 if phase == "calm" else 1.8
        earned = float(rng.lognormal(8.3, 0.5))
        age = int(min(90.0, max(18.0, rng.normal(50, 12))))
        region = REGIONS[int(rng.choice(4, p=(0.3, 0.3, 0.25, 0.15)))]
        is_new = float(rng.random()) < self.new_share(ts_ms)
        score = _risk(earned, age, region, learned_anew=is_new)
        truth = rng.random() < _risk(earned, age, region, learned_anew=phase == "concept")
        latency = float(rng.lognormal(2.2, 0.35))
        event_id = f"{self.model}-{self.start_ms}-{number:010d}"
        event = {
            "event_id": event_id,
            "ts": ts_ms,
            "model": self.model,
            "version": "4" if is_new else "3",
            "features": {"income": round(earned * (1.0 if is_new else inflation), 2), "age": age, "region": region},
            "prediction": {"label": "default" if score >= 0.5 else "repaid", "score": round(score, 4)},
            "latency_ms": round(latency, 2),
            "status": "ok" if rng.random() < 0.995 else "error",
            "segment": {"channel": CHANNELS[int(rng.integers(3))]},
        }
        delay = self.label_delay_ms * (0.5 + float(rng.random()))
        label = {"event_id": event_id, "label": "default" if truth else "repaid", "label_ts": ts_ms + int(delay)}
        self._waiting.append((ts_ms + int(delay), orjson.dumps(label)))
        return orjson.dumps(event)


def _risk(earned: float, age: int, region: str, learned_anew: bool) -> float:
    """The probability of default: at first the young default more often, later the old."""
    years = (age - 50) / 8.0
    logit = 6.0 - earned / 700.0 + (years if learned_anew else -years) + (0.8 if region == "TX" else 0.0)
    return float(1.0 / (1.0 + np.exp(-1.6 * logit)))
