"""What Prometheus scrapes: driftd's own state, and the last window of every model.

Series are bounded: over `series_limit` score series, new ones are left out and counted; first come what is not of single
features (traffic, performance, latency), then each feature's `drift`, then what is judged. Features stay in the store in full; names come from the config and the results, never from a message's free text without a bound.
"""

from __future__ import annotations

import platform
import threading
from importlib.metadata import version as installed

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from detectors.score import HEADLINE, UNJUDGED
from monitor.checkpoint import ScoreRow, WindowRow
from monitor.events import PartitionKey

LEVEL_VALUES = {UNJUDGED: -1, "ok": 0, "unsure": 1, "warn": 2, "breach": 3}
_PARTITION = ("source", "topic", "partition")
_SCORE = ("model", "version", "segment", "feature", "score")  # feature: a score's subject
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One registry. Written by the data loop and the courier, read by the web's thread."""

    def __init__(self, series_limit: int = 20_000) -> None:
        self.registry = CollectorRegistry()
        self._limit = series_limit
        self._lock = threading.Lock()
        self._series: dict[tuple[str, ...], tuple[str, int]] = {}  # labels -> (model, window start)
        self._seen_at: dict[PartitionKey, int] = {}
        r = self.registry
        build = Gauge("driftd_build_info", "Always 1; the labels say what runs.", ("version", "python"), registry=r)
        build.labels(installed("driftd"), platform.python_version()).set(1)
        self.events = Counter("driftd_messages", "Messages read.", ("source", "role"), registry=r)
        self.outcomes = Counter(
            "driftd_events", "Events by what became of them: accepted, or the reason of the drop.",
            ("source", "outcome"), registry=r,
        )  # fmt: skip
        self.dropped = Counter("driftd_dropped", "Events that were refused, by reason.", ("source", "reason"), registry=r)
        self.fenced = Counter("driftd_fenced", "Checkpoints refused because another replica owns the partition.", registry=r)
        self.checkpoints = Histogram("driftd_checkpoint_seconds", "Time of a checkpoint.", buckets=SECONDS, registry=r)
        self.publishes = Histogram("driftd_publish_seconds", "Time of publishing windows.", buckets=SECONDS, registry=r)
        self.lag = Gauge("driftd_consumer_lag", "Messages not read yet.", _PARTITION, registry=r)
        self.watermark_lag = Gauge(
            "driftd_watermark_lag_seconds", "Wall time minus the event time that a partition has reached.", _PARTITION,
            registry=r,
        )  # fmt: skip
        self.windows = Counter("driftd_windows_published", "Windows published.", ("model", "kind"), registry=r)
        self.failures = Counter(
            "driftd_analysis_failures", "Scores that could not be computed or judged, by what failed.", ("model", "analyser"),
            registry=r,
        )  # fmt: skip
        self.window_rows = Gauge("driftd_window_rows", "Rows of the last window.", ("model",), registry=r)
        self.window_late = Gauge("driftd_window_late_rows", "Rows that came too late for the last window.", ("model",), registry=r)
        self.window_end = Gauge("driftd_window_end_timestamp_seconds", "End of the last window.", ("model",), registry=r)
        self.label_coverage = Gauge("driftd_label_coverage_ratio", "Labelled share of the last window.", ("model",), registry=r)
        self.label_delay = Gauge(
            "driftd_label_delay_seconds", "Mean delay of labels, last window that has any.", ("model",), registry=r
        )
        self.score = Gauge("driftd_score", "A score of the last window.", _SCORE, registry=r)
        self.level = Gauge("driftd_score_level", "Its level: -1 unjudged, 0 ok, 1 unsure, 2 warn, 3 breach.", _SCORE, registry=r)
        self.hidden = Gauge("driftd_metric_series_hidden", "Score series left out by limits.metric_series.", registry=r)
        self._hidden: dict[str, int] = {}  # by model, of its newest window
        self.notifications = Counter("driftd_notifications", "Notifications by outcome.", ("channel", "outcome"), registry=r)
        self.reachable = Gauge("driftd_source_reachable", "Whether a source answers: 1, or 0.", ("source",), registry=r)
        self.resource_reachable = Gauge(
            "driftd_resource_reachable", "Whether a resource could be asked: 1, or 0.", ("model", "resource"), registry=r
        )
        self.store_reachable = Gauge("driftd_store_reachable", "Whether the store answers: 1, or 0.", registry=r)
        self.chores = Histogram(
            "driftd_chore_seconds", "Time of what is done beside the data loop.", ("chore",), buckets=SECONDS, registry=r
        )
        self.chores_skipped = Counter(
            "driftd_chore_skipped", "Turns left out: it was still at the last one.", ("chore",), registry=r
        )
        self._last: dict[str, int] = {}

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its content type."""
        with self._lock:
            if "application/openmetrics-text" in accept:
                return openmetrics(self.registry), "application/openmetrics-text; version=1.0.0; charset=utf-8"  # type: ignore[no-untyped-call]
            return generate_latest(self.registry), "text/plain; version=0.0.4; charset=utf-8"

    def count_events(self, source: str, role: str, rows: int) -> None:
        self.events.labels(source, role).inc(rows)

    def count_outcome(self, source: str, outcome: str, rows: int) -> None:
        """Counts of a checkpoint that is durable: `accepted`, `labels` or a reason."""
        if outcome in ("messages", "consumed"):
            return
        self.outcomes.labels(source, outcome).inc(rows)
        if outcome not in ("accepted", "labels"):
            self.dropped.labels(source, outcome).inc(rows)

    def count_fenced(self, partitions: int) -> None:
        self.fenced.inc(partitions)

    def observe_checkpoint(self, seconds: float) -> None:
        self.checkpoints.observe(seconds)

    def observe_publish(self, seconds: float) -> None:
        self.publishes.observe(seconds)

    def set_reachable(self, source: str, answers: bool) -> None:
        self.reachable.labels(source).set(int(answers))

    def set_resource(self, model: str, resource: str, answers: bool) -> None:
        self.resource_reachable.labels(model, resource).set(int(answers))

    def set_store(self, answers: bool) -> None:
        self.store_reachable.set(int(answers))

    def observe_chore(self, chore: str, seconds: float) -> None:
        self.chores.labels(chore).observe(seconds)

    def count_chore_skipped(self, chore: str) -> None:
        self.chores_skipped.labels(chore).inc()

    def count_notification(self, channel: str, outcome: str) -> None:
        self.notifications.labels(channel, outcome).inc()

    def count_failures(self, model: str, analysers: tuple[str, ...]) -> None:
        for analyser in analysers:
            self.failures.labels(model, analyser).inc()

    def publish(self, window: WindowRow, scores: list[ScoreRow], delay_ms_mean: float | None) -> None:
        """Show a window. An older one than the one shown (a revision of the past) changes nothing but counts."""
        model = window.model
        self.windows.labels(model, "first" if window.revision == 1 else "revision").inc()
        if delay_ms_mean is not None:
            self.label_delay.labels(model).set(delay_ms_mean / 1000.0)
        labelled = {"performance", "target"}
        newest = window.start_ms >= self._last.get(model, -1)
        with self._lock:
            if newest:
                self._last[model] = window.start_ms
                self.window_rows.labels(model).set(window.rows)
                self.window_late.labels(model).set(window.late_rows)
                self.window_end.labels(model).set(window.end_ms / 1000.0)
            shown = [row for row in scores if newest or row.subject in labelled]
            if len(self._series) + len(shown) > self._limit:
                shown = _first_what_is_looked_at(shown)
            hidden = sum(not self._show(row) for row in shown)
            if newest:
                self._hide_old(model, window.start_ms, labelled)
                self._hidden[model] = hidden
                self.hidden.set(sum(self._hidden.values()))
            if window.rows and (newest or window.labelled_rows):
                self.label_coverage.labels(model).set(window.labelled_rows / window.rows)

    def _show(self, row: ScoreRow) -> bool:
        """False where there is no room for one more series."""
        labels = (row.model, row.version, row.segment, row.subject, row.score)
        known = self._series.get(labels)
        if known is not None and known[1] > row.window_start_ms:
            return True
        if known is None and len(self._series) >= self._limit:
            return False
        self._series[labels] = (row.model, row.window_start_ms)
        self.score.labels(*labels).set(float("nan") if row.value is None else row.value)
        if row.threshold is not None:
            self.level.labels(*labels).set(LEVEL_VALUES[row.level])
        return True

    def _hide_old(self, model: str, start_ms: int, labelled: set[str]) -> None:
        """A feature or segment that the new window lacks must not look alive."""
        for labels, (owner, at) in list(self._series.items()):
            if owner == model and at < start_ms and labels[3] not in labelled:
                del self._series[labels]
                self.score.remove(*labels)
                if labels in self.level._metrics:
                    self.level.remove(*labels)

    def set_partition(self, key: PartitionKey, lag: int | None, clock_ms: int | None, now_ms: int) -> None:
        labels = (key.source, key.topic, str(key.partition))
        with self._lock:
            self._seen_at[key] = now_ms
            if lag is not None:
                self.lag.labels(*labels).set(lag)
            if clock_ms is not None:
                self.watermark_lag.labels(*labels).set(max(0, now_ms - clock_ms) / 1000.0)

    def expire(self, now_ms: int) -> None:
        """Partitions that this replica no longer owns leave the page."""
        with self._lock:
            for key, at in list(self._seen_at.items()):
                if at < now_ms:
                    del self._seen_at[key]
                    labels = (key.source, key.topic, str(key.partition))
                    for gauge in (self.lag, self.watermark_lag):
                        if labels in gauge._metrics:
                            gauge.remove(*labels)


def _first_what_is_looked_at(rows: list[ScoreRow]) -> list[ScoreRow]:
    """What is not of single features, then the features' headlines, then what is judged, then the rest; in their order."""
    features = {row.subject for row in rows if row.score == HEADLINE}

    def rank(row: ScoreRow) -> int:
        if row.subject not in features:
            return 0
        return 1 if row.score == HEADLINE else 2 if row.level != UNJUDGED else 3

    return sorted(rows, key=rank)
