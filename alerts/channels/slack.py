"""Slack, through an incoming webhook or a bot token. Names come from events, so none may become markup."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError, SlackClientError

from alerts.backoff import parse_retry_after
from alerts.channels.base import Failed, Outcome, Retry, Sent, outcome_of_status
from alerts.notification import Notification

TEXT_CAP = 3000
HEADER_CAP = 150
FIELD_CAP = 200
TRANSIENT = frozenset({"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"})


def clean(text: str, cap: int = FIELD_CAP) -> str:
    """Without control, format (bidi, zero width) and line-breaking characters; backticks become quotes."""
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else c for c in text)
    kept = kept.replace("`", "'")
    return kept if len(kept) <= cap else kept[: cap - 1] + "…"


def escape(text: str, cap: int = FIELD_CAP) -> str:
    """Cleaned, and with & < > escaped, so that Slack sees neither mention nor link. For mrkdwn and text."""
    safe = clean(text, cap).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace("@", "@\u2060")  # a word joiner: @here stays text


def payload(n: Notification) -> tuple[str, list[dict[str, Any]]]:
    """The fallback text and the Block Kit blocks of a notification."""
    mark = "\U0001f534" if n.status == "firing" else "\U0001f7e2"
    title = clean(f"{mark} {n.status}: {n.model} {n.subject} {n.score}", HEADER_CAP).replace("@", "@\u2060")[:HEADER_CAP]
    short = n.alert[:8]
    text = f"{mark} {escape(n.status)}: {escape(n.model)} {escape(n.subject)} {escape(n.score)} = {_number(n.value)} [{short}]"  # noqa: E501
    lines = [
        ("Model", f"{n.model} {n.version}".strip()),
        ("Segment", n.segment or "all rows"),
        ("Subject", n.subject),
        ("Score", f"{n.score} = {_number(n.value)} (limit {_number(n.threshold)}, {n.rows} rows)"),
        ("Reason", n.reason),
        ("Rule", f"{n.rule} ({n.severity})"),
    ]
    fields = [{"type": "plain_text", "text": clean(f"{k}: {v}", FIELD_CAP * 2), "emoji": False} for k, v in lines]
    when = f"<!date^{n.window_start_ms // 1000}^{{date_num}} {{time_secs}}|{n.window_start_ms // 1000}>"
    foot = f"window from {when} · alert {short}"[:TEXT_CAP]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}},
        {"type": "section", "fields": fields},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": foot}]},
    ]
    return text[:TEXT_CAP], blocks


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


class SlackWebhookChannel:
    """An incoming webhook. The URL is a secret and is in none."""

    def __init__(self, webhook_url: str, timeout_s: float = 10.0) -> None:
        self._client = WebhookClient(webhook_url, timeout=max(1, int(timeout_s)), retry_handlers=[])

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        text, blocks = payload(notification)
        try:
            response = self._client.send(text=text, blocks=blocks, unfurl_links=False, unfurl_media=False)
        except (OSError, HTTPException, SlackClientError) as error:
            return Retry(None, f"Slack could not be reached: {type(error).__name__}")
        return outcome_of_status(response.status_code, _retry_after(response.headers, now_ms))


class SlackBotChannel:
    """chat.postMessage with a bot token. base_url is for tests."""

    def __init__(self, token: str, channel: str, timeout_s: float = 10.0, base_url: str = WebClient.BASE_URL) -> None:
        self._client = WebClient(token, timeout=max(1, int(timeout_s)), retry_handlers=[], base_url=base_url)
        self._channel = channel

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        text, blocks = payload(notification)
        try:
            self._client.chat_postMessage(channel=self._channel, text=text, blocks=blocks, unfurl_links=False, unfurl_media=False)
        except SlackApiError as error:
            return self._refused(error, now_ms)
        except (OSError, HTTPException, SlackClientError, ValueError) as error:
            return Retry(None, f"Slack could not be reached: {type(error).__name__}")
        return Sent()

    @staticmethod
    def _refused(error: SlackApiError, now_ms: int) -> Outcome:
        response: Any = error.response
        status = int(getattr(response, "status_code", 0) or 0)
        data: Any = getattr(response, "data", None)
        code = str(data.get("error", "")) if isinstance(data, dict) else ""
        after = _retry_after(getattr(response, "headers", {}), now_ms)
        if code in TRANSIENT or status in (408, 429) or status >= 500:
            return Retry(after, f"Slack answered {status} {clean(code, 80)}")
        return Failed(f"Slack refused: {clean(code, 80) or status}")


def _retry_after(headers: Mapping[str, Any], now_ms: int) -> int | None:
    for name, value in headers.items():
        if name.lower() == "retry-after":
            return parse_retry_after(str(value[0] if isinstance(value, list) else value), now_ms)
    return None
