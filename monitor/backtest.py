"""`driftd backtest`: a config over past data, once for each budget of false alarms, and what would have alerted.

Each budget gets a store of its own in a folder that is thrown away, and the daemon's own path: panes, windows, verdicts,
the life of every alert. The config's store is only read: its references, and with `stored` its panes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from alerts.correction import LIMIT_RULE
from monitor.budget import WEEK_MS
from monitor.config import Config
from monitor.files import replay_batches
from monitor.publish import Published, publish_due
from monitor.replay import replay
from monitor.runtime import build_engine, build_models, decode_settings
from monitor.store import open_store
from monitor.store.schema import alert_history, cursor, pane
from monitor.watermark import FAR_FUTURE_MS

CLOCK_MS = 1  # written down as the time of publication; decides nothing


@dataclass(frozen=True, slots=True)
class Fired:
    """One alert that would have fired. until_ms: start of the window that resolved it, None where it fires at the end."""

    since_ms: int
    until_ms: int | None
    rule: str
    version: str
    segment: str
    subject: str
    score: str
    value: float | None
    limit: float | None
    limit_rule: str  # what gave the limit


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one budget would have given."""

    budget: float
    windows: int
    bad_windows: int  # with a breach of a calibrated limit
    weeks: float
    alerts: list[Fired]
    drops: tuple[str, ...] = ()  # what of the file was refused, and why: a line a reason


def backtest(
    cfg: Config, model: str, budgets: list[float], folder: Path, store: Any | None,
    file: Path | None = None, labels: Path | None = None, progress: Callable[[float], None] = lambda budget: None,
) -> Iterator[Outcome]:  # fmt: skip
    """One outcome a budget. store: the config's, read only, None where there is none. file: None for the stored panes.

    Raises ValueError for a model that the config lacks, or where there is nothing to run over.
    """
    if model not in {m.name for m in cfg.models}:
        raise ValueError(f"--model {model}: the config has {', '.join(m.name for m in cfg.models)}")
    if file is None and store is None:
        raise ValueError("the config's store does not exist yet: give --from FILE")
    for i, budget in enumerate(budgets):
        scratch = open_store(_scratch(cfg, model, budget, folder / f"{i}.db").store.sqlalchemy_url())
        try:
            scratch.migrate()
            yield _run(_scratch(cfg, model, budget, folder / f"{i}.db"), model, budget, scratch, store, file, labels)
        finally:
            scratch.close()
        progress(budget)


def _scratch(cfg: Config, model: str, budget: float, path: Path) -> Config:
    """The config with one model, its budget, and a store of its own."""
    settings = next(m for m in cfg.models if m.name == model)
    return cfg.model_copy(
        update={
            "models": [settings.model_copy(update={"false_alarms_per_week": budget})],
            "store": cfg.store.model_copy(update={"url": f"sqlite:///{path}", "password_env": None, "password_file": None}),
        }
    )


def _run(
    cfg: Config, model: str, budget: float, scratch: Any, store: Any | None, file: Path | None, labels: Path | None
) -> Outcome:
    scratch.label_wait_ms = {model: cfg.models[0].labels.wait_ms}
    for reference in store.references(model) if store is not None else ():
        scratch.save_reference(replace(reference, active_from_ms=0 if reference.active else -1))  # held from the beginning
    models = build_models(cfg, scratch)
    windows: dict[int, bool] = {}
    drops: tuple[str, ...] = ()

    def note(published: Published) -> None:
        bad = any(s.level == "breach" and s.rule.startswith("calibrated") for s in published.scores)
        windows[published.window.start_ms] = bad

    if file is not None:
        batches, _ = replay_batches(file, labels, cfg, decode_settings(cfg, models), model)
        drops = tuple(replay(batches, build_engine(cfg, models, ("replay",)), scratch, CLOCK_MS, on_published=note).drops())
    else:
        _copy_panes(store, scratch, model)
        while True:
            with scratch.publishing(model) as tx:
                done = publish_due(tx, models[model], lambda key: True, CLOCK_MS, 0, ended_ms=FAR_FUTURE_MS)
            for published in done:
                note(published)
            if not done:
                break
    if not windows:
        raise ValueError("; ".join([f"there is no window of model {model!r} to run over", *drops]))
    weeks = len(windows) * models[model].slide_ms / WEEK_MS
    return Outcome(budget, len(windows), sum(windows.values()), weeks, _fired(scratch), drops)


def _copy_panes(store: Any, scratch: Any, model: str) -> None:
    """The stored panes and how far their partitions are, all to be published anew."""
    rows = [{**row, "unsettled": True} for row in store.rows(select(pane).where(pane.c.model == model))]
    partitions = [dict(row) for row in store.rows(select(cursor))]
    with scratch.engine.begin() as conn:
        if rows:
            conn.execute(insert(pane), rows)
        if partitions:
            conn.execute(insert(cursor), partitions)


def _fired(scratch: Any) -> list[Fired]:
    """Every firing of every alert, in order of time."""
    open_since: dict[str, Fired] = {}
    out: list[Fired] = []
    for row in scratch.rows(select(alert_history).order_by(alert_history.c.id)):
        mark, status = row["alert"], row["status"]
        if status == "firing" and mark not in open_since:
            names = ("rule", "version", "segment", "subject", "score", "value")
            by = str(json.loads(row["evidence"] or "{}").get(LIMIT_RULE, ""))
            open_since[mark] = Fired(row["since_ms"], None, limit=row["threshold"], limit_rule=by, **{n: row[n] for n in names})
        elif status == "resolved" and mark in open_since:
            began = open_since.pop(mark)
            out.append(Fired(**{**{n: getattr(began, n) for n in Fired.__dataclass_fields__}, "until_ms": row["window_start_ms"]}))
    return sorted([*out, *open_since.values()], key=lambda f: (f.since_ms, f.rule, f.subject, f.score, f.segment, f.version))
