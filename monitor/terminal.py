"""Tables for the terminal; rich reads markup in plain strings, so names are shown as Text."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from alerts.correction import LIMIT_RULE
from alerts.words import clean
from monitor.config import Config
from monitor.export import iso

STYLES = {"ok": "green", "unsure": "dim", "warn": "yellow", "breach": "bold red", "firing": "bold red", "pending": "yellow",
          "acknowledged": "yellow", "resolved": "green"}  # fmt: skip
WIDE = 130  # columns of a terminal from which on every column is shown


def console() -> Console:
    """As wide as the terminal; wide enough for a table in a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=200)


def text(value: Any, style: str = "") -> Text:
    return Text("" if value is None else clean(str(value), 80), style)


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def ago(ms: int | None, now_ms: int) -> str:
    if ms is None:
        return "never"
    seconds = max(0, now_ms - ms) / 1000.0
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit} ago"
    return f"{seconds:.0f} s ago"


def table(*columns: str) -> Table:
    made = Table(box=None, pad_edge=False)
    for name in columns:
        made.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left")
    return made


def facts() -> Table:
    """Rows of a name and what it is."""
    return Table(box=None, pad_edge=False, show_header=False)


def valued(alert: dict[str, Any]) -> str:
    """An alert's value beside its limit, and the rows that it rests on."""
    limit = "" if alert["threshold"] is None else f"limit {number(alert['threshold'])}, "
    return f"{number(alert['value']) or 'no value'} ({limit}{alert['rows']:,} rows)"


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
    parts.append(Text(f"accepted {counts.get('accepted', 0):,}   labels {counts.get('labels', 0):,}   dropped {_counted(dropped)}"))
    parts.append(Text(f"notifications {_counted(state['outbox'])}", "dim"))
    return Panel(Group(*parts), title="driftd", border_style="blue", expand=False)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items()) or "none"


def away(reason: str) -> RenderableType:
    return Panel(Text(f"the store is away: {clean(reason, 200)}", "bold red"), title="driftd", expand=False)


Row = dict[str, Any]


def _listed(rows: list[Row], columns: dict[str, Callable[[Row], str | Text]], wide: frozenset[str] = frozenset()) -> Table:
    """A line a row; names of columns as in `table`. wide: those that a narrow terminal has no room for."""
    shown = {name: cell for name, cell in columns.items() if name not in wide or console().width >= WIDE}
    made = table(*shown)
    for column in made.columns:
        column.no_wrap = True
    for row in rows:
        made.add_row(*(cell(row) for cell in shown.values()))
    return made


def _partitions(rows: list[Row], now_ms: int) -> RenderableType:
    def state(r: Row) -> Text:
        stale = now_ms - r["seen_at_ms"] > 60_000
        return Text("idle" if r["idle"] else ("silent" if stale else "reading"), "yellow" if stale else "")

    columns: dict[str, Callable[[Row], str | Text]] = {
        "source": lambda r: text(r["source"]), "topic": lambda r: text(r["topic"]), ">part": lambda r: str(r["part"]),
        "role": lambda r: r["role"], ">next offset": lambda r: f"{max(0, r['next_offset']):,}",
        "event time": lambda r: iso(r["max_ts_ms"]) or "none yet", "behind": lambda r: ago(r["max_ts_ms"], now_ms),
        "checkpoint": lambda r: ago(r["seen_at_ms"], now_ms), "owner": lambda r: text(r["owner"]), "state": state,
    }  # fmt: skip
    ordered = sorted(rows, key=lambda r: (r["source"], r["topic"], r["part"]))
    made = _listed(ordered, columns, frozenset(("source", "event time", "owner")))
    return made if rows else Text("no partition was ever read", "yellow")


def _fleet(cfg: Config, store: Any, now_ms: int) -> RenderableType:
    def level(name: str) -> Callable[[Row], str | Text]:
        return lambda r: Text(str(r["levels"].get(name, 0)), STYLES[name] if r["levels"].get(name) else "dim")

    columns: dict[str, Callable[[Row], str | Text]] = {
        "model": lambda r: text(r["model"]), "last window": lambda r: _window(r, "start_ms", iso, "none yet"),
        "ended": lambda r: _window(r, "end_ms", lambda ms: ago(ms, now_ms), "none yet"),
        ">rows": lambda r: _window(r, "rows", "{:,}".format), ">labelled": lambda r: _window(r, "labelled_rows", "{:,}".format),
        "reference": lambda r: text(_window(r, "reference", str)), ">breach": level("breach"), ">warn": level("warn"),
        ">unsure": level("unsure"), ">alerts": _firing,
    }  # fmt: skip
    return _listed(store.reading.fleet([m.name for m in cfg.models]), columns, frozenset(("last window", "reference")))


def _window(row: Row, name: str, shown: Callable[[Any], str | None], none: str = "") -> str:
    return (shown(row["window"][name]) or none) if row["window"] else none


def _firing(row: Row) -> Text:
    return Text(str(row["alerts"]), STYLES["firing"] if row["alerts"] else "dim")


def _alerts(rows: list[Row], now_ms: int) -> RenderableType:
    def about(a: Row) -> Text:
        segment = f" [{a['segment']}]" if a["segment"] else ""
        return text(f"{a['subject']} {a['score']}{segment}")

    columns: dict[str, Callable[[Row], str | Text]] = {
        "alert": lambda a: a["alert"][:8], "status": lambda a: Text(a["status"], STYLES.get(a["status"], "")),
        "severity": lambda a: text(a["severity"]), "rule": lambda a: text(a["rule"]), "model": lambda a: text(a["model"]),
        "version": lambda a: text(a["version"]), "what": about, ">value": lambda a: number(a["value"]),
        ">limit": lambda a: number(a["threshold"]), "since": lambda a: ago(a["since_ms"], now_ms),
    }  # fmt: skip
    return _listed(rows, columns, frozenset(("severity", "rule", "version")))


def print_alerts(rows: list[dict[str, Any]], all_: bool, now_ms: int) -> None:
    """A table of the alerts."""
    if not rows:
        console().print("no alerts" if all_ else "no alert is pending or firing")
        return
    console().print(_alerts(rows, now_ms))


def print_models(rows: list[Row], now_ms: int) -> None:
    """A table of the models: last window, rows, reference, alerts that fire."""
    columns: dict[str, Callable[[Row], str | Text]] = {
        "model": lambda r: text(r["model"]), "task": lambda r: r["task"], ">windows": lambda r: f"{r['windows']:,}",
        "last window": lambda r: _window(r, "start_ms", iso, "none yet"),
        "ended": lambda r: _window(r, "end_ms", lambda ms: ago(ms, now_ms), "none yet"),
        ">rows": lambda r: _window(r, "rows", "{:,}".format), ">labelled": lambda r: _window(r, "labelled_rows", "{:,}".format),
        "reference": lambda r: text(r["reference"] or "none yet"), ">alerts": _firing,
    }  # fmt: skip
    console().print(_listed(rows, columns, frozenset(("last window",))))


def print_alert(detail: dict[str, Any]) -> None:
    """One alert: its state, history, trail and messages."""
    out, a = console(), detail["alert"]
    head = facts()
    for name in ("alert", "status", "reason", "rule", "severity", "model", "version", "segment", "subject", "score"):
        head.add_row(Text(name, "dim"), text(a[name], STYLES.get(str(a[name]), "")))
    head.add_row(Text("value", "dim"), valued(a))
    if by := next((h["evidence"][LIMIT_RULE] for h in detail["history"] if LIMIT_RULE in (h["evidence"] or {})), ""):
        head.add_row(Text("limit by", "dim"), text(by))
    head.add_row(Text("since", "dim"), iso(a["since_ms"]) or "")
    if detail["ack"]:
        head.add_row(Text("taken by", "dim"), text(f"{detail['ack']['author']}: {detail['ack']['comment']}"))
    for s in detail["silences"]:
        head.add_row(Text("silenced", "dim"), text(f"until {iso(s['ends_ms'])} by {s['author']}: {s['reason']}"))
    out.print(head)
    history = table("window", "status", "reason", ">value", ">revision")
    for h in detail["history"][:20]:
        history.add_row(
            iso(h["window_start_ms"]) or "", text(h["status"]), text(h["reason"]), number(h["value"]), str(h["revision"])
        )
    out.print(Text("\nhistory", "bold"), history)
    if detail["audit"]:
        trail = table("at", "what", "who", "why")
        for r in detail["audit"][:20]:
            trail.add_row(iso(r["at_ms"]) or "", text(r["kind"]), text(r["author"] or "driftd"), text(r["reason"]))
        out.print(Text("\ntrail", "bold"), trail)
    if detail["sent"]:
        sent = table("made", "channel", "state", ">failed tries", "error")
        for r in detail["sent"][:20]:
            sent.add_row(iso(r["created_ms"]) or "", text(r["channel"]), r["state"], str(r["attempts"]), text(r["error"]))
        out.print(Text("\nmessages", "bold"), sent)


def print_silences(rows: list[dict[str, Any]]) -> None:
    out = console()
    if not rows:
        out.print("no silence is active or pending")
        return
    made = table("id", "state", "from", "until", "matches", "by", "reason")
    for s in rows:
        matches = ", ".join(f"{k}={v}" for k, v in s["matchers"].items())
        made.add_row(
            s["id"], s["state"], iso(s["starts_ms"]) or "", iso(s["ends_ms"]) or "", text(matches), text(s["author"]), text(s["reason"])
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
            r["id"][:8], iso(r["requested_ms"]) or "", text(r["model"]), text(r["version"]), r["status"], r["verdict"],
            text(r["new_version"]), text(r["error"] or r["reason"]),
        )  # fmt: skip
    out.print(made)


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Rows of one window as a table; all have the same columns."""
    made = Table(box=None, pad_edge=False)
    for name in rows[0]:
        made.add_column(text(name), overflow="fold")
    for row in rows:
        made.add_row(*(text(number(v) if isinstance(v, float) else v) for v in row.values()))
    console().print(made)
