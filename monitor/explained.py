"""`driftd explain`: the evidence of an alert as a small chart where it holds a distribution, the rest as tables and facts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from alerts.words import bars, clean
from monitor.terminal import console, facts, number, table, text, valued

BAR = 24
ROWS_MOST = 30
DRAWN = ("reference_shares", "current_shares", "cells", "names")
FIRST = ("range", "category", "before", "after")  # columns in the order in which they are read


def print_evidence(detail: dict[str, Any]) -> None:
    out, a = console(), detail["alert"]
    about = "".join(f", {name} {a[name]}" for name in ("version", "segment") if a[name])
    out.print(Text(clean(f"{a['model']}{about}: {a['subject']} {a['score']} = {valued(a)}, {a['status']}", 300), "bold"))
    evidence = evidence_of(detail)
    found = bars(evidence)
    if found is not None:
        out.print(_chart(*found))
    for part in _parts({k: v for k, v in evidence.items() if found is None or k not in DRAWN}):
        out.print(part)
    if not evidence:
        out.print("this alert keeps no evidence")


def _parts(values: dict[str, Any], title: str = "") -> Iterator[RenderableType]:
    """The facts together, then each table and what is nested under its name."""
    tables = {k: v for k, v in values.items() if _is_table(v)}
    nested = {k: v for k, v in values.items() if isinstance(v, dict)}
    simple = {k: v for k, v in values.items() if k not in tables and k not in nested and v != []}
    if title and simple:
        yield Text(f"\n{title}", "bold")
    if simple:
        yield _facts(simple)
    for name, items in tables.items():
        yield Text(f"\n{f'{title} ' if title else ''}{name}", "bold")
        yield _rows(items)
    for name, inner in nested.items():
        yield from _parts(inner, name)


def evidence_of(detail: dict[str, Any]) -> dict[str, Any]:
    """The alert's evidence, or that of its newest move that had any."""
    found: dict[str, Any] = detail["alert"]["evidence"] or next((h["evidence"] for h in detail["history"] if h["evidence"]), {})
    return found


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _facts(values: dict[str, Any]) -> RenderableType:
    made = facts()
    for name, value in values.items():
        made.add_row(text(name, "dim"), text(_plain(value, name)))
    return made


def _rows(items: list[dict[str, Any]]) -> RenderableType:
    names = list(dict.fromkeys(k for item in items for k in item))
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    made = table(*(f">{name}" if isinstance(items[0].get(name), int | float) else name for name in names))
    for item in items[:ROWS_MOST]:
        made.add_row(*(text(_plain(item.get(name), name)) for name in names))
    return made


def _plain(value: Any, name: str) -> str:
    if isinstance(value, list) and all(isinstance(v, int | float) for v in value):
        between = " to " if "interval" in name or "range" in name else " -> " if len(value) == 2 else ", "
        return between.join(number(float(v)) for v in value)
    return number(value) if isinstance(value, float) else "" if value is None else str(value)


def _chart(names: list[str], before: list[float], after: list[float]) -> Table:
    top = max(*before, *after) or 1.0
    made = table("cell", ">before", "", ">now", "")
    for name, old, new in zip(names, before, after, strict=True):
        moved = "red" if abs(new - old) > 0.05 else ""
        made.add_row(
            text(name), f"{old:.1%}", Text("█" * round(old / top * BAR), "grey62"), f"{new:.1%}",
            Text("█" * round(new / top * BAR), moved or "cyan"),
        )  # fmt: skip
    return made
