"""Tables and small charts for the terminal; rich escapes nothing by itself, so names are shown as plain Text."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from alerts.words import bars, clean
from monitor.config import Config
from monitor.export import iso

STYLES = {"ok": "green", "unsure": "dim", "warn": "yellow", "breach": "bold red", "firing": "bold red", "pending": "yellow",
          "acknowledged": "yellow", "resolved": "green"}  # fmt: skip
BAR = 24


def console() -> Console:
    """As wide as the terminal; wide enough for a table in a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=200)


def _text(value: Any, style: str = "") -> Text:
    return Text("" if value is None else clean(str(value), 80), style)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _ago(ms: int | None, now_ms: int) -> str:
    if ms is None:
        return "never"
    seconds = max(0, now_ms - ms) / 1000.0
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit} ago"
    return f"{seconds:.0f} s ago"


def table(*columns: str) -> Table:
    made = Table(box=None, pad_edge=False)
    for name in columns:
        made.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left")
    return made


def screen(cfg: Config, store: Any, now_ms: int) -> RenderableType:
    """Everything at a glance. Raises StoreUnavailable."""
    state = store.reading.status()
    parts: list[RenderableType] = [_partitions(state["partitions"], now_ms), Text(), _fleet(cfg, store, now_ms)]
    firing, _ = store.reading.alerts(["firing", "acknowledged", "pending"], None, 12, None)
    if firing:
        parts += [Text(), _alerts(firing, now_ms)]
    counts = state["counts"]
    dropped = {k: v for k, v in sorted(counts.items()) if k not in ("messages", "consumed", "accepted", "labels") and v}
    parts.append(Text())
    parts.append(Text(f"accepted {counts.get('accepted', 0):,}   labels {counts.get('labels', 0):,}   dropped {dropped or 'none'}"))
    parts.append(Text(f"notifications {state['outbox'] or 'none'}", "dim"))
    return Panel(Group(*parts), title="driftd", border_style="blue")


def away(reason: str) -> RenderableType:
    return Panel(Text(f"the store is away: {clean(reason, 200)}", "bold red"), title="driftd")


def _partitions(rows: list[dict[str, Any]], now_ms: int) -> RenderableType:
    made = table("source", "topic", ">partition", "role", ">next offset", "event time", "checkpoint", "owner", "state")
    for r in sorted(rows, key=lambda r: (r["source"], r["topic"], r["part"])):
        stale = now_ms - r["seen_at_ms"] > 60_000
        state = "idle" if r["idle"] else ("silent" if stale else "reading")
        made.add_row(
            _text(r["source"]), _text(r["topic"]), str(r["part"]), r["role"], f"{max(0, r['next_offset']):,}",
            iso(r["max_ts_ms"]) or "none yet", _ago(r["seen_at_ms"], now_ms), _text(r["owner"]), _text(state, "yellow" if stale else ""),
        )  # fmt: skip
    return made if rows else Text("no partition was ever read", "yellow")


def _fleet(cfg: Config, store: Any, now_ms: int) -> RenderableType:
    made = table("model", "last window", ">rows", ">labelled", "reference", ">breach", ">warn", ">unsure", ">alerts")
    for r in store.reading.fleet([m.name for m in cfg.models]):
        w, levels = r["window"], r["levels"]
        made.add_row(
            _text(r["model"]), f"{iso(w['start_ms'])} ({_ago(w['end_ms'], now_ms)})" if w else "none yet",
            f"{w['rows']:,}" if w else "", f"{w['labelled_rows']:,}" if w else "", _text(w["reference"] if w else ""),
            *(Text(str(levels.get(k, 0)), STYLES[k] if levels.get(k) else "dim") for k in ("breach", "warn", "unsure")),
            Text(str(r["alerts"]), STYLES["firing"] if r["alerts"] else "dim"),
        )  # fmt: skip
    return made


def _alerts(rows: list[dict[str, Any]], now_ms: int) -> RenderableType:
    made = table("alert", "status", "severity", "rule", "model", "segment", "subject", "score", ">value", ">limit", "since")
    for a in rows:
        made.add_row(
            a["alert"][:8], Text(a["status"], STYLES.get(a["status"], "")), _text(a["severity"]), _text(a["rule"]), _text(a["model"]),
            _text(a["segment"]), _text(a["subject"]), _text(a["score"]), _number(a["value"]), _number(a["threshold"]),
            _ago(a["since_ms"], now_ms),
        )  # fmt: skip
    return made


def print_alerts(rows: list[dict[str, Any]], all_: bool, now_ms: int) -> None:
    out = console()
    if rows:
        out.print(_alerts(rows, now_ms))
    else:
        out.print("no alerts" if all_ else "no alert is pending or firing")


def print_models(cfg: Config, store: Any) -> None:
    """A table of the models: last window, rows, reference, alerts that fire."""
    made = table("model", "task", ">windows", "last window", ">rows", ">labelled", "reference", ">alerts")
    names = [m.name for m in cfg.models]
    counts = store.reading.window_counts()
    for m, row in zip(cfg.models, store.reading.fleet(names), strict=True):
        w = row["window"]
        active = next((r.name for r in store.references(m.name) if r.active), w["reference"] if w else "")
        made.add_row(
            _text(m.name), m.task, f"{counts.get(m.name, 0):,}", iso(w["start_ms"]) if w else "none yet",
            f"{w['rows']:,}" if w else "", f"{w['labelled_rows']:,}" if w else "", _text(active or "none yet"), str(row["alerts"]),
        )  # fmt: skip
    console().print(made)


def print_alert(detail: dict[str, Any]) -> None:
    """One alert: its state, history, trail and messages."""
    out, a = console(), detail["alert"]
    head = table("", "")
    for name in ("alert", "status", "reason", "rule", "severity", "model", "version", "segment", "subject", "score"):
        head.add_row(Text(name, "dim"), _text(a[name], STYLES.get(str(a[name]), "")))
    head.add_row(Text("value", "dim"), f"{_number(a['value'])} (limit {_number(a['threshold'])}, {a['rows']} rows)")
    head.add_row(Text("since", "dim"), iso(a["since_ms"]) or "")
    if detail["ack"]:
        head.add_row(Text("taken by", "dim"), _text(f"{detail['ack']['author']}: {detail['ack']['comment']}"))
    for s in detail["silences"]:
        head.add_row(Text("silenced", "dim"), _text(f"until {iso(s['ends_ms'])} by {s['author']}: {s['reason']}"))
    out.print(head)
    history = table("window", "status", "reason", ">value", ">revision")
    for h in detail["history"][:20]:
        history.add_row(
            iso(h["window_start_ms"]) or "", _text(h["status"]), _text(h["reason"]), _number(h["value"]), str(h["revision"])
        )
    out.print(Text("\nhistory", "bold"), history)
    if detail["audit"]:
        trail = table("at", "what", "who", "why")
        for r in detail["audit"][:20]:
            trail.add_row(iso(r["at_ms"]) or "", _text(r["kind"]), _text(r["author"]), _text(r["reason"]))
        out.print(Text("\ntrail", "bold"), trail)
    if detail["sent"]:
        sent = table("made", "channel", "state", ">attempts", "error")
        for r in detail["sent"][:20]:
            sent.add_row(iso(r["created_ms"]) or "", _text(r["channel"]), r["state"], str(r["attempts"]), _text(r["error"]))
        out.print(Text("\nmessages", "bold"), sent)


def print_evidence(detail: dict[str, Any]) -> None:
    """The evidence of an alert as a chart where it holds a distribution, else as a table."""
    out, a = console(), detail["alert"]
    value = f"{a['score']} = {_number(a['value'])}, limit {_number(a['threshold'])}, {a['rows']} rows"
    out.print(_text(f"{a['model']} {a['subject']}: {value}", "bold"))
    evidence: dict[str, Any] = a["evidence"] or next((h["evidence"] for h in detail["history"] if h["evidence"]), {})
    found = bars(evidence)
    if found is not None:
        out.print(_chart(*found))
    rest = {k: v for k, v in evidence.items() if found is None or k not in ("reference_shares", "current_shares", "cells", "names")}
    for name, item in rest.items():
        if isinstance(item, dict):
            out.print(Text(name, "bold"))
            rows = table("", ">")
            for key, number in item.items():
                rows.add_row(_text(key), _text(number))
            out.print(rows)
        elif isinstance(item, list) and item and all(isinstance(i, dict) for i in item):
            columns = list(dict.fromkeys(k for i in item for k in i))
            rows = table(*columns)
            for i in item[:30]:
                rows.add_row(*(_text(_number(i[k]) if isinstance(i.get(k), float) else i.get(k)) for k in columns))
            out.print(Text(name, "bold"), rows)
        else:
            out.print(_text(f"{name}: {item}"))
    if not evidence:
        out.print("this alert keeps no evidence")


def _chart(names: list[str], before: list[float], after: list[float]) -> Table:
    top = max(*before, *after) or 1.0
    made = table("cell", ">before", "", ">now", "")
    for name, old, new in zip(names, before, after, strict=True):
        moved = "red" if abs(new - old) > 0.05 else ""
        made.add_row(
            _text(name), f"{old:.1%}", Text("█" * round(old / top * BAR), "grey62"), f"{new:.1%}",
            Text("█" * round(new / top * BAR), moved or "cyan"),
        )  # fmt: skip
    return made


def print_silences(rows: list[dict[str, Any]]) -> None:
    out = console()
    if not rows:
        out.print("no silence is active or pending")
        return
    made = table("id", "state", "from", "until", "matches", "by", "reason")
    for s in rows:
        matches = ", ".join(f"{k}={v}" for k, v in s["matchers"].items())
        made.add_row(
            s["id"], s["state"], iso(s["starts_ms"]) or "", iso(s["ends_ms"]) or "", _text(matches), _text(s["author"]), _text(s["reason"])
        )  # fmt: skip
    out.print(made)


def print_retrains(rows: list[dict[str, Any]], status: str | None = None) -> None:
    out = console()
    if not rows:
        out.print(f"no retrain is {status}" if status else "no retrain was ever asked for")
        return
    made = table("id", "requested", "model", "version", "status", "verdict", "new version", "reason")
    for r in rows:
        made.add_row(
            r["id"][:8], iso(r["requested_ms"]) or "", _text(r["model"]), _text(r["version"]), r["status"], r["verdict"],
            _text(r["new_version"]), _text(r["error"] or r["reason"]),
        )  # fmt: skip
    out.print(made)


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Rows of one window as a table; all have the same columns."""
    made = Table(box=None, pad_edge=False)
    for name in rows[0]:
        made.add_column(_text(name), overflow="fold")
    for row in rows:
        made.add_row(*(_text(_number(v) if isinstance(v, float) else v) for v in row.values()))
    console().print(made)
