"""A notification in words, for every channel alike: plain text without control characters; each channel escapes its own markup.

Names come from events, so nothing in them may act: clean() takes control, bidi and zero-width characters away.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from alerts.notification import Member, Notification

FIELD_CAP = 200
MEMBERS_SHOWN = 10
MARKS = {
    "resolved": "\U0001f7e2",
    "acknowledged": "\U0001f7e1",
    "test": "\U0001f535",
    "digest": "\U0001f4cb",
    "retrain": "\U0001f501",
}
FIRING_MARK = "\U0001f534"
_EIGHTHS = "▁▂▃▄▅▆▇█"


def clean(text: str, cap: int = FIELD_CAP) -> str:
    """Without control, format (bidi, zero width) and line-breaking characters; backticks become quotes."""
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else c for c in text)
    kept = kept.replace("`", "'")
    return kept if len(kept) <= cap else kept[: cap - 1] + "…"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def mark(n: Notification) -> str:
    """One sign for the status: red fires, green is over, yellow is taken."""
    return MARKS.get(n.status, FIRING_MARK)


def headline(n: Notification, cap: int = FIELD_CAP) -> str:
    """One line: what happened to which model, the worst subject, and how many moved with it."""
    if n.status == "test":
        return clean(f"TEST from driftd: channel check for {n.model or 'all models'}", cap)
    if n.is_note:
        return clean(n.subject, cap)
    version = f" v{n.version}" if n.version else ""
    what = f"{n.subject} {n.score} = {number(n.value)}"
    more = f" and {n.count - 1} more" if n.count > 1 else ""
    segment = f" [{n.segment}]" if n.segment else ""
    return clean(f"{n.status}: {n.model}{version}{segment} {what}{more}", cap)


def facts(n: Notification) -> list[tuple[str, str]]:
    """Name and value pairs about the worst member and the group; cleaned."""
    found = [
        ("Model", f"{n.model} {n.version}".strip()),
        ("Segment", n.segment or "all rows"),
        ("Subject", n.subject),
        ("Score", f"{n.score} = {number(n.value)} (limit {number(n.threshold)}, {n.rows} rows)"),
        ("Rule", f"{n.rule} ({n.severity})"),
        ("Reason", n.reason),
    ]
    if n.reference:
        found.append(("Against", n.reference))
    if n.count > 1:
        found.append(("In all", f"{n.count} alerts"))
    if n.author:
        found.append(("By", f"{n.author}: {n.comment}" if n.comment else n.author))
    return [(name, clean(value)) for name, value in found]


def member_line(m: Member) -> str:
    """One member of a group in a line, cleaned."""
    segment = f" [{m.segment}]" if m.segment else ""
    done = " (clear)" if m.status == "resolved" else ""
    return clean(f"{m.subject}{segment}: {m.score} = {number(m.value)}, limit {number(m.threshold)}, {m.rows} rows{done}")


def member_lines(n: Notification, most: int = MEMBERS_SHOWN) -> list[str]:
    """The members, worst first, and how many are not shown; empty where there is only one."""
    everyone = n.everyone()
    if len(everyone) < 2:
        return []
    lines = [member_line(m) for m in everyone[:most]]
    rest = max(n.count, len(everyone)) - len(lines)
    return [*lines, f"… and {rest} more"] if rest > 0 else lines


def fitted(lines: Sequence[str], fits: Callable[[Sequence[str]], bool]) -> list[str]:
    """All lines where they fit; else as many whole ones as do with a last one that says how many are left out."""
    if fits(lines):
        return list(lines)
    low, high = 0, len(lines) - 1  # of how many it is known that they fit, and that more do not
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(_shortened(lines, middle)) else (low, middle - 1)
    return _shortened(lines, low)


def _shortened(lines: Sequence[str], most: int) -> list[str]:
    return [*lines[:most], f"… and {len(lines) - most} more lines"]


def texts_of(lines: Sequence[str], chars_most: int) -> list[str]:
    """Whole lines (each shorter than chars_most) put together into texts of at most chars_most characters."""
    out: list[str] = []
    for line in lines:
        if out and len(out[-1]) + 1 + len(line) <= chars_most:
            out[-1] += f"\n{line}"
        else:
            out.append(line)
    return out


def bars(evidence: dict[str, Any]) -> tuple[list[str], list[float], list[float]] | None:
    """Names, shares before and shares after, as the evidence holds them; None where it holds no distribution."""
    before: Any = evidence.get("reference_shares")
    after: Any = evidence.get("current_shares")
    names = evidence.get("cells") or evidence.get("names")
    moved = evidence.get("moved")
    if before is None and isinstance(moved, list) and moved and all(isinstance(m, dict) for m in moved):
        before, after = [m.get("before") for m in moved], [m.get("after") for m in moved]
        names = [m.get("range") or m.get("category") or m.get("name") or "" for m in moved]
    if not _numbers(before) or not _numbers(after) or len(before) != len(after) or not before:
        return None
    if not isinstance(names, list) or len(names) != len(before):
        names = [str(i + 1) for i in range(len(before))]
    return [clean(str(name), 40) for name in names], [float(v) for v in before], [float(v) for v in after]


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(v, int | float) and v == v and abs(v) < 1e300 for v in values)


def sparkline(shares: Sequence[float], top: float) -> str:
    """A row of blocks, one a share, of at most `top`."""
    if top <= 0:
        return _EIGHTHS[0] * len(shares)
    return "".join(_EIGHTHS[min(7, max(0, int(v / top * 7.999)))] for v in shares)


def plot_lines(evidence: dict[str, Any], most: int = 40) -> list[str]:
    """The distribution before and after as two rows of blocks; empty where there is none."""
    found = bars(evidence)
    if found is None:
        return []
    _, before, after = found
    before, after = before[:most], after[:most]
    top = max(*before, *after)
    return [f"before {sparkline(before, top)}", f"now    {sparkline(after, top)}"]


def plain_text(n: Notification) -> str:
    """The whole notification as lines of text."""
    if n.is_note:
        links = [f"{name}: {url}" for name, url in n.links.items()]
        return "\n".join([headline(n), "", *(clean(line, 500) for line in n.comment.splitlines()), *links])
    lines = [headline(n), "", *(f"{name}: {value}" for name, value in facts(n))]
    if members := member_lines(n):
        lines += ["", *members]
    if plot := plot_lines(n.evidence):
        lines += ["", *plot]
    if n.links:
        lines += ["", *(f"{name}: {url}" for name, url in n.links.items())]
    return "\n".join([*lines, "", f"alert {n.alert[:8]}"])
