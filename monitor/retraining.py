"""Retrains are followed: started when they may be, asked about, compared, judged; step() does what is due.

    proposed   nobody approved it in time -> expired
    waiting    enough new labels, no quiet hours -> due
    due        the adapter starts the job, with backoff -> started | failed
    started    the adapter is polled, or the job reports back -> succeeded | failed
    succeeded  the new version appears in the windows; after `observe_windows` labelled ones it is compared with the old one
               on the same period, else with its last ones -> helped | not_helped | unknown; the reference is switched or proposed

It runs beside the data loop. Records are leased, so that of several replicas one acts; adapters hand the record's id on, so
that a repeat begins no second job.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from alerts.backoff import delay_ms, is_dead
from alerts.channels.base import Failed, Retry
from alerts.channels.retrain import RetrainChannel
from alerts.retraining.adapter import Finished
from alerts.retraining.policy import may_start
from alerts.retraining.request import RetrainRequest
from detectors.gain import Comparison, compare
from monitor.logs import log_event
from monitor.model import Model
from monitor.store.retrains import WrongState

logger = logging.getLogger("driftd.retraining")
LEASE_MS = 120_000
POLL_MS = 30_000
WAIT_MS = 10_000
# Of a retrain that no metric began, and what the page draws first: what is judged by default.
DEFAULT_METRIC = {"regression": "mae", "quantile": "pinball", "ranking": "ndcg_at_k", "multilabel": "subset_accuracy"}


class Retraining:
    """channels: the retrain channels by name."""

    def __init__(
        self, store: Any, channels: Mapping[str, RetrainChannel], models: Mapping[str, Model],
        jitter: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        self._store, self._channels, self._models, self._jitter = store, channels, models, jitter
        self._ledger = store.retrains
        self._next = {
            "proposed": self._expire, "waiting": self._wait, "due": self._start, "started": self._follow, "succeeded": self._observe
        }  # fmt: skip

    def step(self, now_ms: int) -> int:
        """Do what is due; returns how many records were looked at."""
        rows = self._ledger.claim(now_ms, LEASE_MS)
        for row in rows:
            try:
                self._one(row, now_ms)
            except Exception:  # one record's trouble must not stop the others; its lease ends
                logger.exception("retrain %s could not be followed", row["id"])
        return len(rows)

    def _one(self, row: dict[str, Any], now_ms: int) -> None:
        channel = self._channels.get(row["channel"])
        if channel is None:
            known = ", ".join(sorted(self._channels)) or "none"
            self._fail(row, now_ms, f"the config has no retrain channel {row['channel']!r}; it has {known}")
            return
        self._next[row["status"]](row, channel, now_ms)

    def _wait(self, row: dict[str, Any], channel: RetrainChannel, now_ms: int) -> None:
        labels = self._ledger.new_labels(row["model"]) if channel.policy.min_new_labels else 0
        status, why = may_start(channel.policy, labels, row["allowed_ms"], now_ms)
        if status == "waiting":
            self._ledger.move(row["id"], "waiting", now_ms, next_at_ms=now_ms + WAIT_MS, reason=why)
            return
        if status == "expired":
            self._expire(row, channel, now_ms, why)
            return
        model = self._models.get(row["model"])
        from_ms = now_ms - (model.label_wait_ms if model is not None else 0)  # no label comes to older windows
        begins = {"begun_ms": now_ms, "labels_from_ms": from_ms, "labels_before": self._ledger.labels_since(row["model"], from_ms)}
        if self._ledger.move(row["id"], "waiting", now_ms, status="due", next_at_ms=now_ms, **begins):
            self._start({**row, "status": "due", "begun_ms": now_ms}, channel, now_ms)

    def _expire(self, row: dict[str, Any], channel: RetrainChannel, now_ms: int, why: str = "nobody approved it in time") -> None:
        values = {"status": "expired", "reason": why, "finished_ms": now_ms, "next_at_ms": -1}
        if self._ledger.move(row["id"], row["status"], now_ms, "retrain_expired", why, **values):
            self._say("expired", row, channel, why, now_ms)

    def _start(self, row: dict[str, Any], channel: RetrainChannel, now_ms: int) -> None:
        request = RetrainRequest(**row["request"])
        outcome = channel.adapter.start(request, now_ms)
        attempts = row["attempts"] + 1
        if isinstance(outcome, Failed):
            self._fail(row, now_ms, outcome.error, channel)
        elif isinstance(outcome, Retry):
            next_ms = now_ms + delay_ms(attempts, outcome.after_ms, self._jitter)
            if is_dead(row["begun_ms"], next_ms):
                self._fail(row, now_ms, f"given up after {attempts} attempts: {outcome.error}", channel)
                return
            self._ledger.move(row["id"], "due", now_ms, attempts=attempts, next_at_ms=next_ms, error=outcome.error)
        else:
            self._ledger.move(
                row["id"], "due", now_ms, "retrain_started", outcome.url, status="started", started_ms=now_ms, run=outcome.run,
                run_url=outcome.url, attempts=attempts, error="", next_at_ms=now_ms + POLL_MS,
            )  # fmt: skip
            self._say("started", row, channel, outcome.url or outcome.run or "the job reports back", now_ms)

    def _follow(self, row: dict[str, Any], channel: RetrainChannel, now_ms: int) -> None:
        if now_ms - row["started_ms"] >= channel.policy.observe_ms:
            last = f"; asked last: {row['error']}" if row["error"] else ""
            self._fail(row, now_ms, f"no word of its end in time{last}", channel)
            return
        found = channel.adapter.poll(row["run"], now_ms)
        if isinstance(found, Finished):
            status = "succeeded" if found.succeeded else "failed"
            self._ledger.ended(row["id"], status, now_ms, found.version, found.detail)
            self._say(status, row, channel, found.detail, now_ms)
            return
        after, error = (found.after_ms, found.error) if isinstance(found, Retry) else (None, "")
        self._ledger.move(row["id"], "started", now_ms, next_at_ms=now_ms + max(POLL_MS, after or 0), error=error[:1000])

    def _fail(self, row: dict[str, Any], now_ms: int, why: str, channel: RetrainChannel | None = None) -> None:
        values = {"status": "failed", "error": why[:1000], "finished_ms": now_ms, "next_at_ms": -1}
        self._ledger.move(row["id"], row["status"], now_ms, "retrain_failed", why, **values)
        log_event(logger, logging.ERROR, "retrain_failed", retrain=row["id"], model=row["model"], error=why)
        if channel is not None:
            self._say("failed", row, channel, why, now_ms)

    # whether it helped

    def _observe(self, row: dict[str, Any], channel: RetrainChannel, now_ms: int) -> None:
        model = self._models.get(row["model"])
        policy = channel.policy
        over = now_ms - row["finished_ms"] >= policy.observe_ms
        version = row["new_version"] or (self._new_version(row) if model is not None else "")
        found, seen = self._compare(row, model, version, policy.observe_windows)
        if seen < policy.observe_windows and not over:
            wait_ms = WAIT_MS if model is None else min(WAIT_MS, model.slide_ms)  # a window may have come by then
            self._ledger.move(row["id"], "succeeded", now_ms, next_at_ms=now_ms + wait_ms, new_version=version)
            return
        verdict = found.verdict if found is not None else "unknown"
        detail = {} if found is None else {"metric": self._metric(row, model), **_plain(asdict(found))}
        why = _in_words(verdict, version, detail)
        done = self._ledger.move(
            row["id"], "succeeded", now_ms, "retrain_verdict", why, verdict=verdict, verdict_detail=detail, new_version=version,
            next_at_ms=-1,
        )  # fmt: skip
        if done:
            if verdict == "helped":
                self._switch(row, policy.reference, now_ms)
            self._say(verdict, {**row, "verdict": verdict, "new_version": version}, channel, why, now_ms)

    def _new_version(self, row: dict[str, Any]) -> str:
        """The first version in windows after the start of the job that no earlier window has; "" where there is none yet."""
        versions = self._store.reading.versions(row["model"])
        new = [(first, v) for v, first in versions.items() if v and v != row["version"] and first >= row["started_ms"]]
        return min(new)[1] if new else ""

    def _metric(self, row: dict[str, Any], model: Model | None) -> str:
        known = str(row["request"].get("metric") or "")
        return known or DEFAULT_METRIC.get(model.schema.task if model is not None else "", "accuracy")

    def _compare(self, row: dict[str, Any], model: Model | None, version: str, windows: int) -> tuple[Comparison | None, int]:
        """The new version's first windows beside the old one's, and how many labelled ones the new version has."""
        if model is None or not version:
            return None, 0
        metric = self._metric(row, model)
        series = self._store.reading.series(row["model"], "performance", metric, [row["version"], version])
        old, new = series.get(row["version"], {}), series.get(version, {})
        if not new:
            return None, 0
        begins = min(new)
        after = dict(sorted(new.items())[:windows])
        shared = {w: old[w] for w in after if w in old}
        before = shared if len(shared) >= 2 else dict(sorted((w, v) for w, v in old.items() if w < begins)[-windows:])
        return compare(metric, before, after), len(after)

    def _switch(self, row: dict[str, Any], mode: str, now_ms: int) -> None:
        """The job named a reference that fits the new version: make it the active one, or leave that to a human."""
        name = row["reference"]
        if not name or mode == "keep":
            return
        if mode == "auto":
            try:
                self._ledger.switch_reference(row["id"], "driftd", "the new version helped", now_ms)
            except WrongState as error:
                self._ledger.move(row["id"], "succeeded", now_ms, "retrain_reference_missing", str(error))
        else:
            self._ledger.move(row["id"], "succeeded", now_ms, "retrain_reference_proposed", name)

    def _say(self, what: str, row: dict[str, Any], channel: RetrainChannel, why: str, now_ms: int) -> None:
        log_event(logger, logging.INFO, "retrain", what=what, retrain=row["id"], model=row["model"], why=why[:300])
        self._ledger.tell(what, RetrainRequest(**row["request"]), why, channel.policy.tell, now_ms)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Without numbers that JSON does not know."""
    return {k: (None if isinstance(v, float) and not abs(v) < 1e308 else v) for k, v in values.items()}


def _in_words(verdict: str, version: str, detail: dict[str, Any]) -> str:
    if not detail:
        return "no new version was seen in time"
    before, after = (detail[k] if detail[k] is None else f"{detail[k]:.4g}" for k in ("before", "after"))
    return (
        f"version {version}: {detail['metric']} {before} -> {after} over {detail['windows']} windows: {verdict.replace('_', ' ')}"
    )
