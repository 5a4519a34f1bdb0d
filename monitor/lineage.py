"""What a retrain request says of where a model comes from and where the rows since the drift are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from alerts.channels.times import iso
from alerts.retraining.request import RetrainRequest
from monitor.config import Config


def enricher(cfg: Config) -> Callable[[RetrainRequest], RetrainRequest]:
    """Adds lineage of the version (and of "*"), the reference, and the rows: topics or files with times, and a query."""
    models = {m.name: m for m in cfg.models}

    def enrich(request: RetrainRequest) -> RetrainRequest:
        model = models.get(request.model)
        if model is None:
            return request
        lineage = {**model.lineage.get("*", {}), **model.lineage.get(request.version, {}), "reference": request.reference}
        rows: dict[str, Any] = {"from_ms": request.since_ms, "to_ms": request.window_end_ms}
        rows["sources"] = [
            {"name": s.name, "type": s.type, "carries": s.carries}
            | ({"topics": list(s.topics), "bootstrap_servers": s.bootstrap_servers} if s.type == "kafka" else {})
            | ({"path": str(s.path)} if s.path is not None else {})
            for s in cfg.sources
        ]
        if model.rows_query:
            values = {
                "from": iso(request.since_ms), "to": iso(request.window_end_ms), "from_ms": request.since_ms,
                "to_ms": request.window_end_ms, "model": _quoted(request.model), "version": _quoted(request.version),
            }  # fmt: skip
            rows["query"] = model.rows_query.format(**values)
        return replace(request, lineage={k: v for k, v in lineage.items() if v}, rows=rows)

    return enrich


def _quoted(text: str) -> str:
    """A name inside a query's quotes: versions come from events."""
    return text.replace("'", "''").replace("\\", "").replace("\0", "")
