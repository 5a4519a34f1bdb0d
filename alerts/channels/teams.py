"""Microsoft Teams, through a Workflows webhook: an Adaptive Card 1.4 (https://adaptivecards.io/explorer/), at most 28 kB.

Card text knows a little Markdown, so names are escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alerts.channels.base import Outcome
from alerts.channels.post import Poster
from alerts.notification import Notification
from alerts.words import clean, facts, fitted, headline, mark, member_lines, plot_lines

CARD_BYTES = 28_000
ACTIONS_MOST = 5
_COLOURS = {"resolved": "good", "acknowledged": "warning", "test": "accent", "digest": "default", "retrain": "accent"}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>])")


def escape(text: str, cap: int = 500) -> str:
    """Cleaned, with Markdown's signs escaped; a mention needs an entity, so <at> is only text."""
    return _MARKDOWN.sub(r"\\\1", clean(text, cap))


def card(n: Notification, members_most: int = 10, lines: Sequence[str] | None = None) -> dict[str, Any]:
    """The message with its one card. lines: of a note, where these are not all."""
    title = {"type": "TextBlock", "text": f"{mark(n)} {escape(headline(n))}", "weight": "bolder", "size": "medium", "wrap": True}
    body: list[dict[str, Any]] = [{**title, "color": _COLOURS.get(n.status, "attention")}]
    if n.is_note:
        body += [
            {"type": "TextBlock", "text": escape(line), "wrap": True}
            for line in (n.comment.splitlines() if lines is None else lines)
        ]
    else:
        body.append({"type": "FactSet", "facts": [{"title": name, "value": escape(value)} for name, value in facts(n)]})
        body += [{"type": "TextBlock", "text": escape(line), "wrap": True} for line in member_lines(n, members_most)]
        plot = plot_lines(n.evidence)
        body += [{"type": "TextBlock", "text": line.replace(" ", "\u00a0"), "fontType": "monospace"} for line in plot]
        body.append({"type": "TextBlock", "text": f"alert {n.alert[:8]}", "isSubtle": True, "size": "small"})
    links = [(name, url) for name, url in n.links.items() if url.startswith(("https://", "http://"))]
    actions = [{"type": "Action.OpenUrl", "title": clean(name, 40), "url": url} for name, url in links[:ACTIONS_MOST]]
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
        "body": body, "actions": actions, "msteams": {"width": "Full"},
    }  # fmt: skip
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [attachment]}


def _fitting(n: Notification) -> bytes:
    """The message with as many lines as fit."""
    if n.is_note:
        lines = fitted(n.comment.splitlines(), lambda some: len(json.dumps(card(n, lines=some)).encode()) <= CARD_BYTES)
        return json.dumps(card(n, lines=lines)).encode()
    for most in (10, 3, 0):
        body = json.dumps(card(n, most)).encode()
        if len(body) <= CARD_BYTES:
            break
    return body


@dataclass(frozen=True, slots=True, repr=False)
class TeamsChannel:
    """poster.url is the workflow's address, a secret."""

    poster: Poster

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        body = _fitting(notification)
        return self.poster.post(body, {"Content-Type": "application/json"}, now_ms)
