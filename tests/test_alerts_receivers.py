"""Every receiver behind a local server that refuses what the real one would refuse, by its public documentation."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import re
import socket
import struct
import threading
import zlib
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from cloudevents.http import from_http

from alerts.channels.base import Failed, Retry, Sent, Skipped
from alerts.channels.email import EmailChannel, compose
from alerts.channels.registry import CHANNELS, build_channel
from alerts.channels.roll import Told
from alerts.delivery import Courier
from alerts.notification import Member, Notification
from alerts.plot import HEIGHT, WIDTH, bar_plot
from alerts.words import bars, plain_text, sparkline

EVIL = "<!channel> <https://x|ok> @everyone **b** [l](http://x) <img src=x onerror=y> \u202e`c`\r\nBcc: e@x.example " + "y" * 400
SHARES = {"reference_shares": [0.1] * 10, "current_shares": [0.0, 0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.2]}


def note(status="firing", key="11111111-1111-5111-8111-111111111111", subject="income", count=1, **other):
    def member(i):
        name = subject if i == 0 else f"{subject}-{i}"
        over = "resolved" if status == "resolved" else "firing"
        return Member(
            f"{i:016x}", over, "threshold_crossed", "drift", "critical", "3", "channel=web", name, "psi", "breach",
            0.5, 0.25, 100, 1_790_000_000_000,
        )  # fmt: skip

    made = Notification(
        key, "abcdef0123456789", status, "threshold_crossed", "drift", "critical", "credit", "3", "channel=web", subject, "psi",
        0.5, 0.25, 100, 1_790_000_000_000, 1_790_000_060_000, 1_790_000_000_000, "first_5_windows", dict(SHARES), 2, "breach",
        "0123456789abcdef", labels={"team": "risk", "model": "credit"}, members=tuple(member(i) for i in range(min(count, 20))),
        count=count, links={"alert": "https://driftd.example.com/alerts/abcdef01"}, at_ms=1_790_000_060_500,
    )  # fmt: skip
    return replace(made, **other)


def is_inert(text, signs):
    """Whether no unescaped sign of the markup is left, nor anything that hides."""
    return "\u202e" not in text and not re.search(signs, re.sub(r"\\.", "", text))


class Refused(Exception):
    """What the real service would answer 400 to."""


def must(condition, why):
    if not condition:
        raise Refused(why)


def check_pagerduty(path, headers, body):
    must(path == "/v2/enqueue", path)
    must(re.fullmatch(r"[0-9a-zA-Z]{32}", body["routing_key"]), "routing key")
    must(body["event_action"] in ("trigger", "acknowledge", "resolve"), "event_action")
    must(0 < len(body["dedup_key"]) <= 255, "dedup_key")
    if body["event_action"] == "trigger":
        p = body["payload"]
        must(0 < len(p["summary"]) <= 1024 and p["source"], "summary and source")
        must(p["severity"] in ("critical", "error", "warning", "info"), "severity")
        must(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", p["timestamp"]), "timestamp")
    else:
        must("payload" not in body, "only a trigger has a payload")
    return 202


def check_opsgenie(path, headers, body):
    must(re.fullmatch(r"GenieKey \S+", headers.get("Authorization", "")), "GenieKey")
    parts = urlsplit(path)
    if parts.path == "/v2/alerts":
        must(0 < len(body["message"]) <= 130 and len(body["alias"]) <= 512, "message, alias")
        must(len(body["description"]) <= 15_000 and body["priority"] in ("P1", "P2", "P3", "P4", "P5"), "description")
        must(len(body["tags"]) <= 20 and all(0 < len(t) <= 50 for t in body["tags"]), "tags")
        must(sum(len(k) + len(v) for k, v in body["details"].items()) <= 8000, "details")
        must(all(isinstance(v, str) for v in body["details"].values()), "details are strings")
    else:
        must(re.fullmatch(r"/v2/alerts/[^/]+/(close|acknowledge)", parts.path), parts.path)
        must(parse_qs(parts.query) == {"identifierType": ["alias"]}, "identifierType")
        must(len(body["note"]) <= 25_000 and len(body["user"]) <= 100 and len(body["source"]) <= 100, "note")
    return 202


def check_teams(path, headers, body):
    must(len(json.dumps(body)) <= 28 * 1024, "28 kB")
    must(body["type"] == "message" and len(body["attachments"]) == 1, "one card")
    must(body["attachments"][0]["contentType"] == "application/vnd.microsoft.card.adaptive", "contentType")
    card = body["attachments"][0]["content"]
    must(card["type"] == "AdaptiveCard" and card["version"] == "1.4", "card")
    must(all(e["type"] in ("TextBlock", "FactSet") for e in card["body"]), "elements")
    must(all(a["type"] == "Action.OpenUrl" and a["url"].startswith("http") for a in card["actions"]), "actions")
    for element in card["body"]:
        shown = [element["text"]] if "text" in element else [f["value"] for f in element["facts"]]
        must(all(is_inert(t, r"[<>*_\[\]`]") for t in shown if "fontType" not in element), f"markup {shown}")
    must(card["body"][0]["color"] in ("default", "dark", "light", "accent", "good", "warning", "attention"), "color")
    return 202


def check_discord(path, headers, body):
    must(body["allowed_mentions"] == {"parse": []}, "mentions")
    must(len(body["embeds"]) == 1, "embeds")
    e = body["embeds"][0]
    must(len(e["title"]) <= 256 and len(e["description"]) <= 4096 and len(e["fields"]) <= 25, "embed")
    must(all(0 < len(f["name"]) <= 256 and 0 < len(f["value"]) <= 1024 for f in e["fields"]), "fields")
    total = len(e["title"]) + len(e["description"]) + len(e["footer"]["text"])
    must(total + sum(len(f["name"]) + len(f["value"]) for f in e["fields"]) <= 6000, "6000 characters")
    inside = [e["title"], e["description"].split("```")[0], *(f["value"] for f in e["fields"])]
    must(all(is_inert(t, r"[<>*_\[\]`~|]") for t in inside), "markup")
    must(0 <= e["color"] <= 0xFFFFFF, "color")
    return 204


def check_alertmanager(path, headers, body):
    must(path == "/api/v2/alerts" and isinstance(body, list) and body, "path, list")
    for a in body:
        must(a["labels"].get("alertname") and all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", k) for k in a["labels"]), "labels")
        must(all(isinstance(v, str) and v for v in a["labels"].values()), "label values")
        must(a["endsAt"] > a["startsAt"], "endsAt is after startsAt")
        must(a["generatorURL"] == "" or a["generatorURL"].startswith("http"), "generatorURL")
    return 200


def _objects(value):
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(item)


def check_slack(path, headers, body):
    blocks = body["blocks"]
    marked = [body["text"], *(b["text"] for b in _objects(blocks) if b.get("type") == "mrkdwn")]
    must(all(is_inert(t, r"<(?!!date\^)|@(?!\u2060)") for t in marked), f"markup {marked}")
    must(body["text"] and len(body["text"]) <= 40_000 and len(blocks) <= 50, "text, blocks")
    for b in blocks:
        kind = b["type"]
        must(kind in ("header", "section", "context", "actions", "image"), kind)
        if kind == "header":
            must(b["text"]["type"] == "plain_text" and 0 < len(b["text"]["text"]) <= 150, "header")
        if kind == "section":
            must("text" in b or "fields" in b, "section")
            must(0 < len(b.get("text", {"text": "x"})["text"]) <= 3000, "section text")
            must(len(b.get("fields", [])) <= 10 and all(0 < len(f["text"]) <= 2000 for f in b.get("fields", [])), "fields")
        if kind == "actions":
            must(0 < len(b["elements"]) <= 25, "actions")
            for e in b["elements"]:
                must(e["type"] == "button" and len(e["text"]["text"]) <= 75 and len(e["url"]) <= 3000, "button")
            must(len({e["action_id"] for e in b["elements"]}) == len(b["elements"]), "action_id")
        if kind == "context":
            must(0 < len(b["elements"]) <= 10, "context")
        if kind == "image":
            must(set(b["slack_file"]) == {"id"} and len(b["alt_text"]) <= 2000, "image")
    return 200


def check_webhook(path, headers, body):
    event = from_http(headers, json.dumps(body).encode())
    must(event["specversion"] == "1.0" and event["id"] == headers["webhook-id"] and event["source"], "cloud event")
    must(event.data["model"] == "credit", "data")
    return 200


CHECKS = {
    "pagerduty": check_pagerduty, "opsgenie": check_opsgenie, "teams": check_teams, "discord": check_discord,
    "alertmanager": check_alertmanager, "slack": check_slack, "webhook": check_webhook,
}  # fmt: skip


@pytest.fixture
def receiver():
    """Answers by .check(path, headers, body), or what .script says first. Bot calls of Slack get what Slack answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            s = self.server
            try:
                body = json.loads(raw)
            except ValueError:
                body = {k: v[0] for k, v in parse_qs(raw.decode("latin-1")).items()}
                if isinstance(body.get("blocks"), str):
                    body["blocks"] = json.loads(body["blocks"])
            s.seen.append((self.path, dict(self.headers), body))
            answer = b"ok"
            try:
                status = s.script.pop(0) if s.script else s.check(self.path, dict(self.headers), body)
            except (Refused, KeyError, TypeError) as error:
                status, answer = 400, str(error).encode()
                s.refused.append(str(error))
            if self.path.startswith("/api/"):
                answer = json.dumps(s.answers.get(self.path.rpartition("/")[2], {"ok": True})).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if answer[:1] == b"{" else "text/plain")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.seen, httpd.script, httpd.refused, httpd.answers = [], [], [], {}
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def options_for(kind, url):
    return {
        "pagerduty": {"routing_key": "a" * 32, "url": f"{url}/v2/enqueue"},
        "opsgenie": {"api_key": "canary-key", "url": f"{url}/v2/alerts"},
        "teams": {"webhook_url": f"{url}/workflows/canary"},
        "discord": {"webhook_url": f"{url}/webhooks/canary"},
        "alertmanager": {"url": url},
        "slack": {"webhook_url": f"{url}/services/canary"},
        "webhook": {"url": f"{url}/hook", "secret": "whsec_" + "A" * 32},
    }[kind] | {"allow_private": True, "timeout_s": 5}


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize(
    "message",
    [
        note(), note("repeat"), note("escalated"), note("acknowledged", author="ada", comment="mine"), note("flapping"),
        note("resolved"), note("test", subject=""), note(subject=EVIL, count=10_000), note(evidence={}, value=None, threshold=None),
        note("digest", subject="Week 47: team risk", comment="credit: 3 alerts\nfraud: quiet"), note(members=(), format=1, group=""),
    ],
    ids=["firing", "repeat", "escalated", "acknowledged", "flapping", "resolved", "test", "hostile-10000", "bare", "digest", "old"],
)  # fmt: skip
def test_the_receiver_takes_what_is_sent(receiver, kind, message):
    receiver.check = CHECKS[kind]
    channel = build_channel(kind, options_for(kind, receiver.url))
    outcome = channel.send(message, 1, 1_790_000_061_000)
    assert isinstance(outcome, Sent | Skipped) and receiver.refused == [], (outcome, receiver.refused)
    assert isinstance(outcome, Skipped) == (not receiver.seen)


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize(("status", "expected"), [(500, Retry), (429, Retry), (400, Failed), (403, Failed)])
def test_the_answer_decides(receiver, kind, status, expected):
    receiver.script = [status]
    channel = build_channel(kind, options_for(kind, receiver.url))
    outcome = channel.send(note(), 1, 1_790_000_061_000)
    assert isinstance(outcome, expected) and "canary" not in str(outcome)


def test_every_channel_type_is_tested_here():
    assert set(CHECKS) | {"log", "retrain", "email"} == set(CHANNELS)


def test_one_incident_an_episode(receiver):
    receiver.check = check_pagerduty
    channel = build_channel("pagerduty", options_for("pagerduty", receiver.url))
    for status in ("firing", "repeat", "acknowledged", "resolved"):
        channel.send(note(status, key=status), 1, 0)
    bodies = [b for _, _, b in receiver.seen]
    assert [b["event_action"] for b in bodies] == ["trigger", "trigger", "acknowledge", "resolve"]
    assert len({b["dedup_key"] for b in bodies}) == 1
    receiver.check = check_opsgenie
    channel = build_channel("opsgenie", options_for("opsgenie", receiver.url))
    for status in ("firing", "acknowledged", "resolved"):
        channel.send(note(status), 1, 0)
    paths = [p for p, _, _ in receiver.seen[4:]]
    assert paths[0] == "/v2/alerts" and "/acknowledge?" in paths[1] and "/close?" in paths[2]
    assert paths[1].split("/")[3] == paths[2].split("/")[3]


def test_slack_keeps_one_thread_and_updates_its_first_message(receiver):
    receiver.check = lambda path, headers, body: check_slack(path, headers, body) if "blocks" in body else 200
    receiver.answers = {"chat.postMessage": {"ok": True, "ts": "1.5", "channel": "C1"}, "chat.update": {"ok": True}}
    from alerts.channels.slack import SlackBotChannel

    channel = SlackBotChannel("xoxb-canary", "#alerts", base_url=receiver.url + "/api/")
    for status in ("firing", "repeat", "escalated", "resolved"):
        assert channel.send(note(status, key=status), 1, 0) == Sent()
        blob = channel.state()
        channel = SlackBotChannel("xoxb-canary", "#alerts", base_url=receiver.url + "/api/")
        channel.restore(blob)
    calls = [(p.rpartition("/")[2], b.get("thread_ts"), b.get("reply_broadcast"), b.get("ts")) for p, _, b in receiver.seen]
    assert [c[0] for c in calls] == ["chat.postMessage"] * 3 + ["chat.update", "chat.postMessage"]
    assert [c[1] for c in calls] == [None, "1.5", "1.5", None, "1.5"] and calls[3][3] == "1.5"
    assert [str(c[2]).lower() in ("true", "1") for c in calls] == [False, False, True, False, False]
    assert "canary" not in blob.decode() and receiver.refused == []


@pytest.mark.parametrize(("error", "posts"), [("ratelimited", 0), ("message_not_found", 1)])
def test_slack_posts_the_end_once_whatever_becomes_of_the_update(receiver, error, posts):
    from alerts.channels.slack import SlackBotChannel

    receiver.check = lambda path, headers, body: 200
    receiver.answers = {
        "chat.postMessage": {"ok": True, "ts": "1.5", "channel": "C1"},
        "chat.update": {"ok": False, "error": error},
    }
    channel = SlackBotChannel("xoxb-canary", "#alerts", base_url=receiver.url + "/api/")
    assert channel.send(note(), 1, 0) == Sent()
    for attempt in range(1, 4):
        outcome = channel.send(note("resolved"), attempt, 0)
        assert isinstance(outcome, Retry if posts == 0 else Sent), outcome
        if isinstance(outcome, Sent):
            break
    posted = [p for p, _, _ in receiver.seen if p.endswith("postMessage")]
    assert len(posted) == 1 + posts
    receiver.answers["chat.update"] = {"ok": True}
    if posts == 0:
        assert channel.send(note("resolved"), 4, 0) == Sent() and receiver.seen[-1][0].endswith("postMessage")


def test_two_couriers_threads_are_both_kept(receiver):
    from alerts.channels.slack import SlackBotChannel

    receiver.check = lambda path, headers, body: 200
    made = []
    for ts, group in (("1.5", "a" * 16), ("2.5", "b" * 16)):
        receiver.answers = {"chat.postMessage": {"ok": True, "ts": ts, "channel": "C1"}}
        made.append(SlackBotChannel("xoxb-canary", "#alerts", base_url=receiver.url + "/api/"))
        assert made[-1].send(note(group=group), 1, 0) == Sent()
    made[1].merge(made[0].state())
    assert b"1.5" in made[1].state() and b"2.5" in made[1].state()


def test_slack_uploads_a_picture_and_does_without_where_it_may_not(receiver):
    from alerts.channels.slack import SlackBotChannel

    receiver.check = lambda path, headers, body: check_slack(path, headers, body) if "blocks" in body else 200
    receiver.answers = {
        "files.getUploadURLExternal": {"ok": True, "upload_url": f"{receiver.url}/upload", "file_id": "F1"},
        "files.completeUploadExternal": {"ok": True, "files": [{"id": "F1"}]},
        "chat.postMessage": {"ok": True, "ts": "1.5", "channel": "C1"},
    }
    channel = SlackBotChannel("xoxb-1", "#a", base_url=receiver.url + "/api/", picture=True)
    assert channel.send(note(), 1, 0) == Sent()
    kinds = [b["type"] for b in receiver.seen[-1][2]["blocks"]]
    assert "image" in kinds and receiver.refused == []
    receiver.answers["files.getUploadURLExternal"] = {"ok": False, "error": "missing_scope"}
    channel = SlackBotChannel("xoxb-1", "#a", base_url=receiver.url + "/api/", picture=True)
    assert channel.send(note(), 1, 0) == Sent()
    blocks = receiver.seen[-1][2]["blocks"]
    assert "image" not in [b["type"] for b in blocks] and any("▁" in json.dumps(b, ensure_ascii=False) for b in blocks)


def test_alertmanager_hears_again_of_what_fires_and_once_of_what_is_over(receiver):
    receiver.check = check_alertmanager
    roll = Roll(note(count=20).members)
    at = 1_790_000_061_000

    def make():
        channel = build_channel("alertmanager", options_for("alertmanager", receiver.url))
        channel.roll = roll
        return channel

    channel = make()
    roll.firing.update(f"{i:016x}" for i in range(600))  # a message lists 20 of them
    assert channel.send(note(count=600), 1, at) == Sent()
    channel.restore(channel.state())
    roll.firing.remove(f"{7:016x}")  # it recovers, the others go on
    assert channel.tick(at + 60_000) and not channel.tick(at + 70_000) and channel.tick(at + 120_000)
    again = [b for _, _, b in receiver.seen]
    assert [len(b) for b in again] == [500, 100, 500, 99, 1, 500, 99], "all of them, and the end of one, once"
    (over,) = again[4]
    assert over["labels"]["driftd_alert"] == f"{7:016x}" and over["endsAt"] == "2026-09-21T14:15:21.000Z"
    labels = [{json.dumps(a["labels"], sort_keys=True) for b in bodies for a in b} for bodies in (again[:2], again[2:5], again[5:])]
    assert labels[0] == labels[1] >= labels[2], "the same labels are the same alert"
    assert again[2][0]["endsAt"] > again[0][0]["endsAt"]
    other = make()
    other.restore(channel.state())
    roll.firing.clear()
    assert other.send(note("resolved", count=600), 1, at + 130_000) == Sent()
    ended = [a for _, _, b in receiver.seen[len(again) :] for a in b]
    assert {a["endsAt"] for a in ended} == {"2026-09-21T14:16:31.000Z"} and {
        json.dumps(a["labels"], sort_keys=True) for a in ended
    } >= labels[2]
    assert not other.tick(at + 900_000) and other.sent == {}


def test_alertmanager_reads_what_an_older_release_kept_and_keeps_what_two_couriers_sent():
    from alerts.channels.alertmanager import AlertmanagerChannel

    channel = AlertmanagerChannel(None)
    channel.restore(json.dumps({"version": 1, "firing": {"a": {"labels": {}, "group": "g:1"}}, "resent_ms": 5}).encode())
    assert channel.sent == {"a": "g:1"} and channel.resent_ms == 5
    other = AlertmanagerChannel(None, sent={"b": "g:2"}, resent_ms=7)
    other.merge(channel.state())
    assert other.sent == {"a": "g:1", "b": "g:2"} and other.resent_ms == 7


class Roll:
    """What a store would say: whoever is in `firing` fires; the others are over."""

    def __init__(self, members):
        self.like, self.firing = members[0], set()

    def told(self, channel, model="", group=""):
        return self.known(self.firing)

    def known(self, marks):
        return [Told({"model": "credit", "team": "risk"}, replace(self.like, alert=m, subject=f"s{m}")) for m in sorted(marks)]


class Outbox:
    """The smallest store for a courier: nothing is due, channel states are kept."""

    def __init__(self):
        self.states = {}

    def waiting(self, now_ms):
        return []

    def load_channel_state(self, channel):
        return self.states.get(channel)

    def save_channel_state(self, channel, blob, was):
        self.states[channel] = blob
        return True


def test_the_courier_lets_a_channel_tick(receiver):
    receiver.check = check_alertmanager
    channel = build_channel("alertmanager", options_for("alertmanager", receiver.url))
    channel.send(note(), 1, 0)
    channel.roll = Roll(note().members)
    ticked = threading.Event()

    class Quick(type(channel)):
        @property
        def tick_ms(self):
            return 20

        def tick(self, now_ms):
            ticked.set()
            return super().tick(now_ms)

    quick = Quick(channel.poster)
    store = Outbox()
    store.states["am"] = channel.state()
    courier = Courier(store, {"am": quick}, clock=lambda: 10**13)
    assert ticked.wait(5)
    courier.drain(0)


def answers_smtp(script):
    """A mail server in a thread that speaks just enough SMTP; script: command -> answer. Returns (port, messages, stop)."""
    messages, ready, loop = [], threading.Event(), asyncio.new_event_loop()
    ports = []

    async def talk(reader, writer):
        async def say(text):
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        await say(script.get("CONNECT", "220 test"))
        while line := (await reader.readline()).decode("latin-1").strip():
            word = line.split(" ")[0].upper().rstrip(":")
            if word == "DATA" and "DATA" not in script:
                await say("354 go on")
                data = b""
                while not data.endswith(b"\r\n.\r\n"):
                    data += await reader.readline()
                messages.append(data[:-5])
                await say(script.get("END", "250 taken"))
            elif word == "QUIT":
                await say("221 bye")
                break
            else:
                await say(script.get(word, "250 ok"))
        writer.close()

    async def serve():
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    def run():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    ready.wait(5)
    return ports[0], messages, lambda: loop.call_soon_threadsafe(loop.stop)


def mailer(port, **other):
    return EmailChannel("127.0.0.1", port, "driftd@x.example", ("ops@x.example",), security="none", allow_private=True, **other)


@pytest.mark.parametrize(
    "message", [note(subject=EVIL, count=50), note("resolved"), note("digest", subject="a\r\nBcc: b", comment="x")]
)
def test_a_mail_arrives_whole_and_headers_cannot_be_forged(message):
    port, messages, stop = answers_smtp({})
    assert mailer(port).send(message, 1, 1_790_000_061_000) == Sent()
    stop()
    mail = email.message_from_bytes(messages[0], policy=email.policy.default)
    assert mail["To"] == "ops@x.example" and mail["Bcc"] is None and mail["Message-ID"].startswith(f"<{message.key}@")
    text = mail.get_body(("plain",)).get_content()
    page = mail.get_body(("html",)).get_content()
    assert text.strip() and "<img src=x" not in page
    if message.evidence:
        assert [p.get_content_type() for p in mail.walk()].count("image/png") == 1


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({"RCPT": "450 busy"}, Retry), ({"RCPT": "550 unknown"}, Failed), ({"MAIL": "421 later"}, Retry), ({"END": "451 disk"}, Retry),
        ({"DATA": "554 no"}, Failed), ({"CONNECT": "554 go away"}, Failed), ({"CONNECT": "421 full"}, Retry),
    ],
)  # fmt: skip
def test_4yz_is_tried_again_and_5yz_is_not(script, expected):
    port, _, stop = answers_smtp(script)
    assert isinstance(mailer(port).send(note(), 1, 0), expected)
    stop()


def test_mail_that_cannot_be_encrypted_is_not_sent_in_the_clear():
    port, messages, stop = answers_smtp({})
    outcome = replace(mailer(port), security="starttls").send(note(), 1, 0)
    stop()
    assert isinstance(outcome, Failed) and messages == []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert isinstance(mailer(free.getsockname()[1]).send(note(), 1, 0), Retry)
    assert isinstance(replace(mailer(1), allow_private=False).send(note(), 1, 0), Failed)


def test_mails_of_an_episode_share_a_thread():
    first, last = (compose(note(s, key=s), "d@x.example", ("o@x.example",), 0) for s in ("firing", "resolved"))
    assert first["References"] == last["References"] and first["Message-ID"] != last["Message-ID"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"host": "h", "sender": "a@b", "recipients": []}, "recipients"),
        ({"host": "h", "sender": "a@b", "recipients": ["x"]}, "plain address"),
        ({"host": "h", "sender": "a@b\nBcc: c@d", "recipients": ["x@y"]}, "plain address"),
        ({"host": "h", "sender": "a@b", "recipients": ["x@y"], "security": "none"}, "in the clear"),
        ({"sender": "a@b", "recipients": ["x@y"]}, "host"),
    ],
)
def test_a_mail_channel_that_cannot_work_is_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        build_channel("email", options)


def test_a_plot_is_a_real_png():
    data = bar_plot(SHARES["reference_shares"], SHARES["current_shares"])
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (WIDTH, HEIGHT) and len(data) < 3000
    at, chunks = 8, {}
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        chunks[kind] = data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + chunks[kind])
        at += 12 + size
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == HEIGHT * (WIDTH + 1) and set(rows) == {0, 1, 2, 3}
    assert bar_plot([0.0], [float("nan")])[:4] == b"\x89PNG"


def test_words_hold_the_distribution_and_leave_out_what_is_none():
    assert bars(SHARES)[2] == SHARES["current_shares"] and bars({"reference_shares": [1], "current_shares": []}) is None
    assert sparkline([0, 0.5, 1], 1) == "▁▄█" and sparkline([0], 0) == "▁"
    text = plain_text(note(count=30))
    assert "and 29 more" in text and "before" in text and "now" in text and "https://driftd.example.com" in text


def _texts(body):
    return "\n".join(str(o["text"]) for o in _objects(body) if isinstance(o.get("text"), str)) + "\n".join(
        str(e.get("description", "")) for e in body.get("embeds", [])
    )


@pytest.mark.parametrize(("kind", "least"), [("slack", 30), ("teams", 30), ("discord", 15)])
def test_a_long_digest_is_told_whole_or_says_what_is_left_out(receiver, kind, least):
    receiver.check = CHECKS[kind]
    lines = [
        line
        for i in range(30)
        for line in (f"model{i:02d}: 24 windows, {i}00000 rows, 99 % with labels", *["  bad now: " + "x" * 60] * 4)
    ]
    channel = build_channel(kind, options_for(kind, receiver.url))
    assert channel.send(note("digest", subject="Week 47", comment="\n".join(lines)), 1, 0) == Sent() and receiver.refused == []
    told = _texts(receiver.seen[-1][2]).replace("\\", "")
    shown = sum(f"model{i:02d}" in told for i in range(30))
    assert shown == 30 or (shown >= least - 6 and re.search(r"… and \d+ more lines", told)), shown
    hostile = note("digest", subject=EVIL, comment="\n".join([EVIL] * 500))
    assert channel.send(hostile, 1, 0) == Sent() and receiver.refused == []
    assert re.search(r"… and \d+ more lines", _texts(receiver.seen[-1][2])), "cut at a line, and said so"
