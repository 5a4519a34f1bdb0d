"""Discord, through a webhook (https://discord.com/developers/docs/resources/webhook#execute-webhook): one embed.

Limits: title 256, description 4,096, 25 fields of 256 and 1,024, footer 2,048, 6,000 characters in all. Nobody is mentioned.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from alerts.channels.base import Outcome
from alerts.channels.post import Poster
from alerts.channels.times import iso
from alerts.notification import Notification
from alerts.words import clean, facts, fitted, headline, mark, member_lines, plot_lines

TITLE_CAP, TEXT_CAP, NAME_CAP, VALUE_CAP, TOTAL_CAP = 256, 4096, 256, 1024, 6000
_COLOURS = {"resolved": 0x2E9E5B, "acknowledged": 0xD9A400, "test": 0x3B7DD8, "digest": 0x6B7280, "retrain": 0x3B7DD8}
_MARKDOWN = re.compile(r"([\\`*_~|>#\[\]()<-])")


def escape(text: str, cap: int = VALUE_CAP) -> str:
    """Cleaned, with Markdown's signs escaped; pings do nothing as allowed_mentions is empty."""
    return _MARKDOWN.sub(r"\\\1", clean(text, cap // 2))[:cap]


def message(n: Notification) -> dict[str, Any]:
    """The body of one message."""
    fields: list[dict[str, Any]] = []
    if n.is_note:
        lines = [escape(line, 500) for line in n.comment.splitlines()]
        text = "\n".join(fitted(lines, lambda some: len("\n".join(some)) <= TEXT_CAP))
    else:
        lines = [escape(line, 500) for line in member_lines(n)]
        plot = plot_lines(n.evidence)
        drawn = "\n".join(plot)
        text = "\n".join([*lines, *([f"```\n{drawn}\n```"] if plot else [])])
        fields = [{"name": name[:NAME_CAP], "value": escape(value) or "-", "inline": len(value) < 40} for name, value in facts(n)]
    used = sum(len(f["name"]) + len(f["value"]) for f in fields) + TITLE_CAP + 100
    embed: dict[str, Any] = {
        "title": f"{mark(n)} {escape(headline(n), TITLE_CAP - 4)}"[:TITLE_CAP],
        "description": text[: min(TEXT_CAP, max(0, TOTAL_CAP - used))],
        "color": _COLOURS.get(n.status, 0xD04040),
        "fields": fields,
        "footer": {"text": f"alert {n.alert[:8]}"},
        "timestamp": iso(n.window_end_ms),
    }
    link = next((url for url in n.links.values() if url.startswith(("https://", "http://"))), None)
    if link is not None:
        embed["url"] = link
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


@dataclass(frozen=True, slots=True, repr=False)
class DiscordChannel:
    """poster.url is the webhook's address, a secret."""

    poster: Poster

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        return self.poster.post(json.dumps(message(notification)).encode(), {"Content-Type": "application/json"}, now_ms)
