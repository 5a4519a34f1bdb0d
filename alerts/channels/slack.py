"""Slack, through an incoming webhook or a bot token. Names come from events, so none may become markup.

A bot keeps one thread an episode: the first message begins it, later ones answer in it, and when all is clear the first
one is updated. Block Kit's limits (https://docs.slack.dev/reference/block-kit/blocks): 50 blocks, a header of 150
characters, a section of 3,000 or 10 fields of 2,000, 25 buttons of 75 characters and links of 3,000.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from alerts.backoff import parse_retry_after
from alerts.channels.base import Failed, Outcome, Retry, Sent
from alerts.channels.post import Poster
from alerts.notification import Notification
from alerts.plot import bar_plot
from alerts.words import FIELD_CAP, bars, clean, facts, fitted, headline, mark, member_lines, plot_lines, texts_of

TEXT_CAP = 3000
HEADER_CAP = 150
BUTTON_CAP, LINK_CAP, BUTTONS_MOST = 75, 3000, 5
LINE_CAP, SECTIONS_MOST = 500, 45  # of a note; a message has 50 blocks
THREADS_MOST = 2000  # episodes whose first message is remembered
STATE_VERSION = 1
TRANSIENT = frozenset({"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"})
Blocks = list[dict[str, Any]]


def escape(text: str, cap: int = FIELD_CAP) -> str:
    """Cleaned, and with & < > escaped, so that Slack sees neither mention nor link. For mrkdwn and text."""
    safe = clean(text, cap).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace("@", "@\u2060")  # a word joiner: @here stays text


def payload(n: Notification, picture: str = "") -> tuple[str, Blocks]:
    """The fallback text and the Block Kit blocks. picture: id of an uploaded file that shows the distribution."""
    title = f"{mark(n)} {headline(n, HEADER_CAP - 10)}".replace("@", "@\u2060")[:HEADER_CAP]
    short = n.alert[:8]
    text = f"{mark(n)} {escape(headline(n, TEXT_CAP // 2), TEXT_CAP // 2)} [{short}]"
    blocks: Blocks = [{"type": "header", "text": _plain(title)}]
    if n.is_note:
        lines = [escape(line, LINE_CAP)[:TEXT_CAP] for line in n.comment.splitlines()] or ["-"]
        lines = fitted(lines, lambda some: len(texts_of(some, TEXT_CAP)) <= SECTIONS_MOST)
        blocks += [{"type": "section", "text": {"type": "mrkdwn", "text": text or "-"}} for text in texts_of(lines, TEXT_CAP)]
        if buttons := _buttons(n):
            blocks.append({"type": "actions", "elements": buttons})
        return text[:TEXT_CAP], blocks
    fields = [_plain(f"{name}: {value}", FIELD_CAP * 2) for name, value in facts(n)]
    blocks.append({"type": "section", "fields": fields[:10]})
    if members := member_lines(n):
        listed = "\n".join(f"• {line}" for line in members)
        blocks.append({"type": "section", "text": _plain(listed, TEXT_CAP)})
    if picture:
        blocks.append({"type": "image", "slack_file": {"id": picture}, "alt_text": "shares before (grey) and now (red)"})
    elif plot := plot_lines(n.evidence):
        drawn = "\n".join(plot)
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": f"```{drawn}```"}})
    if buttons := _buttons(n):
        blocks.append({"type": "actions", "elements": buttons})
    when = f"<!date^{n.window_start_ms // 1000}^{{date_num}} {{time_secs}}|{n.window_start_ms // 1000}>"
    foot = f"window from {when} · alert {short}"[:TEXT_CAP]
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": foot}]})
    return text[:TEXT_CAP], blocks


def _plain(text: str, cap: int = HEADER_CAP) -> dict[str, Any]:
    return {"type": "plain_text", "text": text if len(text) <= cap else text[: cap - 1] + "…", "emoji": False}


def _buttons(n: Notification) -> Blocks:
    """Links as buttons; they open the page and do nothing by themselves."""
    out: Blocks = []
    for i, (name, url) in enumerate(list(n.links.items())[:BUTTONS_MOST]):
        if url.startswith(("http://", "https://")) and len(url) <= LINK_CAP:
            label = _plain(clean(name.replace("_", " "), BUTTON_CAP), BUTTON_CAP)
            out.append({"type": "button", "text": label, "url": url, "action_id": f"open-{i}"})
    return out


class SlackWebhookChannel:
    """An incoming webhook. poster.url is a secret."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        text, blocks = payload(notification)
        body = {"text": text, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}
        return self._poster.post(json.dumps(body).encode(), {"Content-Type": "application/json"}, now_ms)


class SlackBotChannel:
    """chat.postMessage and chat.update with a bot token. base_url is for tests.

    picture: upload the distribution as an image (scope files:write); where that fails, blocks of text show it.
    """

    def __init__(
        self, token: str, channel: str, timeout_s: float = 10.0, base_url: str = WebClient.BASE_URL, picture: bool = False
    ) -> None:
        self._client = WebClient(token, timeout=max(1, int(timeout_s)), retry_handlers=[], base_url=base_url)
        self._channel, self._picture = channel, picture
        self._threads: dict[str, tuple[str, str]] = {}  # episode -> (channel id, ts of its first message), oldest first

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        n = notification
        try:
            first = self._threads.get(n.thread)
            if first is not None and n.is_over and (late := self._update(n, first, now_ms)) is not None:
                return late
            text, blocks = payload(n, self._uploaded(n) if first is None else "")
            thread: dict[str, Any] = {}
            if first is not None:  # what is new, and what nobody took, also shows in the channel
                thread = {"thread_ts": first[1], "reply_broadcast": n.status in ("firing", "escalated")}
            answer = self._client.chat_postMessage(
                channel=self._channel, text=text, blocks=blocks, unfurl_links=False, unfurl_media=False,
                **thread,
            )  # fmt: skip
            if first is None:
                self._remember(n, answer)
        except SlackApiError as error:
            return self._refused(error, now_ms)
        except (OSError, HTTPException, SlackClientError, ValueError) as error:
            return Retry(None, f"Slack could not be reached: {type(error).__name__}")
        return Sent()

    def _update(self, n: Notification, first: tuple[str, str], now_ms: int) -> Retry | None:
        """Let an episode's first message say that it is over. Before the end is posted, so that a repeat of both posts it once; one
        that is refused for good, as of a message that somebody deleted, keeps no end from being told."""
        text, blocks = payload(n)
        try:
            self._client.chat_update(channel=first[0], ts=first[1], text=text, blocks=blocks)
        except SlackApiError as error:
            outcome = self._refused(error, now_ms)
            return outcome if isinstance(outcome, Retry) else None
        return None

    def _remember(self, n: Notification, answer: Any) -> None:
        ts, channel = answer.get("ts"), answer.get("channel")
        if isinstance(ts, str) and isinstance(channel, str) and n.status != "test" and not n.is_note and not n.is_over:
            self._threads[n.thread] = (channel, ts)

    def _uploaded(self, n: Notification) -> str:
        """The id of the uploaded picture, "" where there is none or Slack does not take it."""
        shares = bars(n.evidence) if self._picture else None
        if shares is None:
            return ""
        try:
            answer: Any = self._client.files_upload_v2(content=bar_plot(shares[1], shares[2]), filename=f"{n.alert[:8]}.png")
            return str(answer["file"]["id"])
        except (SlackApiError, SlackClientError, OSError, HTTPException, ValueError, KeyError, TypeError):
            return ""

    def restore(self, blob: bytes | None) -> None:
        """Raises ValueError where the blob was written by another version."""
        data: dict[str, Any] = json.loads(blob) if blob else {"version": STATE_VERSION, "threads": []}
        if data.get("version") != STATE_VERSION:
            raise ValueError(f"slack state: version is {data.get('version')!r}, this program reads {STATE_VERSION}")
        self._threads = {name: (channel, ts) for name, channel, ts in data["threads"]}

    def merge(self, blob: bytes | None) -> None:
        """Also the threads that another courier began."""
        mine = self._threads
        self.restore(blob)
        self._threads.update(mine)

    def state(self) -> bytes:
        threads = [[name, *place] for name, place in list(self._threads.items())[-THREADS_MOST:]]
        return json.dumps({"version": STATE_VERSION, "threads": threads}).encode()

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
