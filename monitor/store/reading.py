"""What people look at: models, windows, scores and alerts, in pages. `store.reading` has these; times are ms since 1970 UTC.

See monitor/store/paging.py for pages and their cursors.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, func, select, tuple_

from detectors.score import LEVELS, UNJUDGED
from monitor.checkpoint import EVERY_SEGMENT
from monitor.store.errors import DATABASE_ERRORS, classify
from monitor.store.paging import PAGE_MOST, Page, page, unpack
from monitor.store.publish import PublishingTransaction
from monitor.store.schema import alert, cursor, dead_letter, event_count, outbox, reference_score, score, window


class Reading:
    """Read-only queries; none takes a lock that the data loop waits for."""

    def __init__(self, engine: Engine) -> None:
        self._reader = engine.execution_options(reads=True)

    @contextlib.contextmanager
    def _conn(self) -> Iterator[Connection]:
        try:
            with self._reader.connect() as conn:
                yield conn
        except DATABASE_ERRORS as error:
            raise classify(error) from error

    @contextlib.contextmanager
    def of_model(self, model: str) -> Iterator[PublishingTransaction]:
        """Panes, states and windows of a model, to be read only."""
        with self._conn() as conn:
            yield PublishingTransaction(conn, model)

    def fleet(self, models: list[str]) -> list[dict[str, Any]]:
        """One row a model: its last window, how many scores of it are at which level, alerts that fire."""
        out = []
        with self._conn() as conn:
            firing = (
                select(alert.c.model, func.count()).where(alert.c.status.in_(("firing", "acknowledged"))).group_by(alert.c.model)
            )
            alerts = {m: n for m, n in conn.execute(firing)}
            for name in models:
                w = window.c
                last = conn.execute(select(window).where(w.model == name).order_by(w.start_ms.desc()).limit(1)).mappings().first()
                levels: dict[str, int] = {}
                if last is not None:
                    s = score.c
                    query = select(s.level, func.count()).where(s.model == name, s.window_start_ms == last["start_ms"])
                    levels = {level: n for level, n in conn.execute(query.group_by(s.level))}
                row = None if last is None else {k: v for k, v in last.items() if k not in ("inputs", "model")}
                out.append({"model": name, "window": row, "levels": levels, "alerts": alerts.get(name, 0)})
        return out

    def window_counts(self) -> dict[str, int]:
        """How many windows of each model are kept."""
        with self._conn() as conn:
            return {m: n for m, n in conn.execute(select(window.c.model, func.count()).group_by(window.c.model))}

    def windows(self, model: str, from_ms: int | None, to_ms: int | None, limit: int, after: str | None) -> Page:
        """Windows, newest first."""
        c = window.c
        query = select(window).where(c.model == model).order_by(c.start_ms.desc())
        if from_ms is not None:
            query = query.where(c.start_ms >= from_ms)
        if to_ms is not None:
            query = query.where(c.start_ms < to_ms)
        if after is not None:
            query = query.where(c.start_ms < unpack(after, 1)[0])
        rows, following = self._page(query, limit, ("start_ms",))
        return [{k: v for k, v in r.items() if k != "inputs"} for r in rows], following

    def scores(
        self, model: str, from_ms: int | None, to_ms: int | None, limit: int, after: str | None,
        **equal: str | None,
    ) -> Page:  # fmt: skip
        """Scores in order of window and name. equal: version, segment, subject, score, level."""
        c = score.c
        keys = ("window_start_ms", "version", "segment", "subject", "score")
        query = select(score).where(c.model == model, *(c[k] == v for k, v in equal.items() if v is not None))
        query = query.order_by(*(c[k] for k in keys))
        if from_ms is not None:
            query = query.where(c.window_start_ms >= from_ms)
        if to_ms is not None:
            query = query.where(c.window_start_ms < to_ms)
        if after is not None:
            query = query.where(tuple_(*(c[k] for k in keys)) > tuple_(*unpack(after, len(keys))))
        rows, following = self._page(query, limit, keys)
        return [{**r, "evidence": json.loads(r["evidence"]) if r["evidence"] else {}} for r in rows], following

    def subjects(self, model: str, start_ms: int) -> list[dict[str, Any]]:
        """The subjects of one window, each with its worst level and its scores, all rows of all versions alike."""
        c = score.c
        query = select(c.version, c.segment, c.subject, c.score, c.value, c.rows, c.threshold, c.level, c.reference, c.rule).where(
            c.model == model, c.window_start_ms == start_ms
        )
        with self._conn() as conn:
            found = conn.execute(query.order_by(c.version, c.segment, c.subject, c.score)).mappings().all()
        out: dict[tuple[str, str, str], dict[str, Any]] = {}
        for row in found:
            key = row["version"], row["segment"], row["subject"]
            names = {"version": key[0], "segment": key[1], "subject": key[2]}
            entry = out.setdefault(key, {**names, "level": UNJUDGED, "reference": "", "scores": {}})
            entry["level"] = max(entry["level"], row["level"], key=LEVELS.index)
            entry["reference"] = entry["reference"] or row["reference"]
            fields = ("value", "rows", "threshold", "level", "rule")
            entry["scores"][row["score"]] = {k: row[k] for k in fields}
        return list(out.values())

    def timeline(self, model: str, version: str, segment: str, subject: str, names: list[str], windows: int) -> dict[str, Any]:
        """Scores of a subject over the newest windows, oldest first: {"times": …, "series": {name: {"values", "levels",
        "reference", "limit"}}}. reference: what the score is of the reference of each window, None where that has none.
        """
        c = score.c
        with self._conn() as conn:
            first = _first_start(conn, model, windows)
            query = select(c.window_start_ms, c.score, c.value, c.level, c.threshold).where(
                c.model == model, c.subject == subject, c.score.in_(names), c.window_start_ms >= first,
                c.version == version, c.segment == segment,
            )  # fmt: skip
            found = conn.execute(query).all()
            references = _reference_values(conn, model, segment, subject, names, first)
        times = sorted({row[0] for row in found})
        at = {start: i for i, start in enumerate(times)}
        series: dict[str, dict[str, Any]] = {
            n: {"values": [None] * len(times), "levels": [None] * len(times), "reference": [None] * len(times), "limit": None}
            for n in names
        }
        for start, name, value, level, threshold in sorted(found):
            one = series[name]
            one["values"][at[start]], one["levels"][at[start]], one["limit"] = value, LEVELS.index(level), threshold
            one["reference"][at[start]] = references.get((start, name))
        return {"times": times, "series": series}

    def matrix(self, model: str, version: str, segment: str, name: str, windows: int) -> dict[str, Any]:
        """A score of every subject over the newest windows: {"windows", "subjects", "values", "levels"}, worst subjects first.

        A subject is as bad as its worst score of a window is; levels say so, as places in LEVELS.
        """
        c = score.c
        of_group = (c.model == model, c.version == version, c.segment == segment)
        with self._conn() as conn:
            first = _first_start(conn, model, windows)
            recent = (*of_group, c.window_start_ms >= first)
            values = conn.execute(select(c.subject, c.window_start_ms, c.value, c.level).where(*recent, c.score == name)).all()
            bad = conn.execute(
                select(c.subject, c.window_start_ms, c.level).where(*recent, c.level.not_in((UNJUDGED, "ok"))).distinct()
            ).all()
        starts = sorted({row[1] for row in values})
        at = {start: i for i, start in enumerate(starts)}
        table: dict[str, tuple[list[float | None], list[int | None]]] = {}
        for subject, start, value, level in values:
            row = table.setdefault(subject, ([None] * len(starts), [None] * len(starts)))
            row[0][at[start]], row[1][at[start]] = value, LEVELS.index(level)
        for subject, start, level in bad:
            if subject in table and start in at and table[subject][1][at[start]] is not None:
                levels = table[subject][1]
                levels[at[start]] = max(levels[at[start]] or 0, LEVELS.index(level))
        subjects = sorted(table, key=lambda s: (-sum(max(0, (v or 0) - OK) for v in table[s][1]), s))[:SUBJECTS_MOST]
        return {
            "score": name, "windows": starts, "subjects": subjects, "values": [table[s][0] for s in subjects],
            "levels": [table[s][1] for s in subjects],
        }  # fmt: skip

    def alerts(self, status: list[str] | None, model: str | None, limit: int, after: str | None) -> Page:
        """Alerts, those that moved last first."""
        c = alert.c
        query = select(alert).order_by(c.at_ms.desc(), c.alert)
        if status:
            query = query.where(c.status.in_(status))
        if model is not None:
            query = query.where(c.model == model)
        if after is not None:
            at_ms, name = unpack(after, 2)
            query = query.where((c.at_ms < at_ms) | and_(c.at_ms == at_ms, c.alert > name))
        rows, following = self._page(query, limit, ("at_ms", "alert"))
        parsed = ({**r, **{k: json.loads(r[k] or "{}") for k in ("evidence", "labels") if k in r}} for r in rows)
        return list(parsed), following

    def all_alerts(self, status: list[str] | None, model: str | None) -> list[dict[str, Any]]:
        """The alerts of all pages."""
        rows, following = self.alerts(status, model, PAGE_MOST, None)
        while following is not None:
            more, following = self.alerts(status, model, PAGE_MOST, following)
            rows += more
        return rows

    def versions(self, model: str) -> dict[str, int]:
        """The first window (ms) that each version of a model is in."""
        c = score.c
        query = select(c.version, func.min(c.window_start_ms)).where(
            c.model == model, c.subject == "traffic", c.score == "rows", c.segment == ""
        )
        with self._conn() as conn:
            return {version: first for version, first in conn.execute(query.group_by(c.version))}

    def series(self, model: str, subject: str, name: str, versions: list[str]) -> dict[str, dict[int, tuple[float, int]]]:
        """One score over time, all rows: version -> window start (ms) -> (value, rows)."""
        c = score.c
        query = select(c.version, c.window_start_ms, c.value, c.rows).where(
            c.model == model, c.subject == subject, c.score == name, c.segment == "", c.version.in_(versions), c.value.is_not(None)
        )
        out: dict[str, dict[int, tuple[float, int]]] = {}
        with self._conn() as conn:
            for version, start_ms, value, rows in conn.execute(query):
                out.setdefault(version, {})[start_ms] = (value, rows)
        return out

    def dead_letters(self, limit: int) -> list[dict[str, Any]]:
        """The newest dead letters, without their excerpts, which may be private."""
        c = dead_letter.c
        columns = (c.source, c.topic, c.part, c.log_offset, c.idx, c.reason, c.detail, c.ts_ms, c.at_ms)
        with self._conn() as conn:
            return [dict(r) for r in conn.execute(select(*columns).order_by(c.at_ms.desc()).limit(limit)).mappings()]

    def status(self) -> dict[str, Any]:
        """Partitions, what became of their messages, notifications by state."""
        with self._conn() as conn:
            hidden = ("token",)
            partitions = [{k: v for k, v in r.items() if k not in hidden} for r in conn.execute(select(cursor)).mappings()]
            counts: dict[str, int] = {}
            for name, value in conn.execute(select(event_count.c.name, func.sum(event_count.c.value)).group_by(event_count.c.name)):
                counts[name] = int(value)
            states = {s: n for s, n in conn.execute(select(outbox.c.state, func.count()).group_by(outbox.c.state))}
        return {"partitions": partitions, "counts": counts, "outbox": states}

    def _page(self, query: Select[Any], limit: int, keys: tuple[str, ...]) -> Page:
        with self._conn() as conn:
            return page(conn, query, limit, keys)


def _first_start(conn: Connection, model: str, windows: int) -> int:
    """The start (ms) of the oldest of the newest windows."""
    c = window.c
    query = select(c.start_ms).where(c.model == model).order_by(c.start_ms.desc()).limit(1).offset(max(0, windows - 1))
    found = conn.execute(query).scalar()
    if found is None:
        found = conn.execute(select(func.min(c.start_ms)).where(c.model == model)).scalar()
    return 0 if found is None else int(found)


def _reference_values(
    conn: Connection, model: str, segment: str, subject: str, names: list[str], first: int
) -> dict[tuple[int, str], float | None]:
    """(window start in ms, score) -> what the score is of that window's reference."""
    w, r = window.c, reference_score.c
    query = (
        select(w.start_ms, r.score, r.value)
        .join(reference_score, and_(r.model == w.model, r.reference == w.reference))
        .where(
            w.model == model, w.start_ms >= first, r.subject == subject, r.score.in_(names), r.segment.in_((segment, EVERY_SEGMENT))
        )
    )
    return {(start, name): value for start, name, value in conn.execute(query)}


SUBJECTS_MOST = 500
OK = LEVELS.index("ok")
