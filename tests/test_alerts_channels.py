"""Channels: signatures, refused addresses, Slack text, and a scripted HTTP server."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from alerts.backoff import delay_ms, is_dead, parse_retry_after
from alerts.channels.address import UnsafeAddress, check_target
from alerts.channels.base import Failed, Retry, Sent
from alerts.channels.post import Poster
from alerts.channels.registry import build_channel
from alerts.channels.slack import SlackBotChannel, SlackWebhookChannel, payload
from alerts.channels.webhook import WebhookChannel, sign
from alerts.notification import Notification

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def note(key="k1", status="firing", subject="income", model="credit"):
    return Notification(
        key, "abcdef0123456789", status, "threshold_crossed", "r", "warning", model, "1", "", subject, "psi",
        0.5, 0.25, 100, 0, 10, 0,
    )  # fmt: skip


@pytest.fixture
def server():
    """Answers (status, headers) from .script, one a request; "reset" hangs up, "slow" waits for .gate."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.seen.append((dict(self.headers), body))
            status, headers = self.server.script.pop(0) if self.server.script else (200, {})
            if status == "slow":
                self.server.gate.wait(5)
            if status in ("reset", "slow"):
                self.close_connection = True
                return
            self.send_response(status)
            for k, v in headers.items():
                self.send_header(k, v)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}" if "api" in self.path else b"ok")

        def log_message(self, *args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.seen, httpd.script, httpd.gate = [], [], threading.Event()
    httpd.url = f"http://127.0.0.1:{httpd.server_port}/"
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.gate.set()
    httpd.shutdown()
    httpd.server_close()


def test_the_signature_equals_the_standards_own_vector():
    got = sign([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert got == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    both = sign([SECRET, "old"], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert both.split(" ")[0] == got and len(both.split(" ")) == 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, {}), Sent), ((204, {}), Sent), ((500, {}), Retry), ((503, {}), Retry), ((408, {}), Retry),
        ((429, {}), Retry), (("reset", {}), Retry), (("slow", {}), Retry), ((404, {}), Failed), ((400, {}), Failed),  # noqa: E501
        ((302, {"Location": "http://169.254.169.254/"}), Failed),
    ],
)  # fmt: skip
def test_an_answer_decides_between_sent_retry_and_failed(server, answer, expected):
    for channel in (
        WebhookChannel(Poster(server.url, 0.3, allow_private=True), (SECRET,)),
        SlackWebhookChannel(Poster(server.url, 0.3, allow_private=True)),
    ):
        server.script[:] = [answer]
        assert isinstance(channel.send(note(), 1, 0), expected)


def test_slacks_webhook_reaches_no_private_address_unless_allowed(server):
    outcome = build_channel("slack", {"webhook_url": server.url}).send(note(), 1, 0)
    assert isinstance(outcome, Failed) and "not a public address: set allow_private" in outcome.error and server.seen == []


def test_retry_after_reaches_the_outcome(server):
    server.script[:] = [(429, {"Retry-After": "7"})] * 3
    assert WebhookChannel(Poster(server.url, 1, True)).send(note(), 1, 0).after_ms == 7000
    assert SlackWebhookChannel(Poster(server.url, 1, True)).send(note(), 1, 0).after_ms == 7000
    assert SlackBotChannel("xoxb-1", "#c", base_url=server.url + "api/").send(note(), 1, 0).after_ms == 7000


def test_a_retry_keeps_the_id_and_renews_the_timestamp(server):
    channel = WebhookChannel(Poster(server.url, 1, True), (SECRET,))
    channel.send(note(), 1, 1000)
    channel.send(note(), 2, 9000)
    (one, body), (two, _) = server.seen
    assert one["webhook-id"] == two["webhook-id"] == "k1"
    assert (one["webhook-timestamp"], two["webhook-timestamp"]) == ("1", "9")
    assert one["webhook-signature"] == sign([SECRET], "k1", 1, body)


@pytest.mark.parametrize(
    "ip",
    ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",  # noqa: E501
     "::1", "::", "fe80::1", "fc00::1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
     "2002:7f00:1::", "255.255.255.255"],
)  # fmt: skip
def test_an_address_inside_is_refused(ip):
    with pytest.raises(UnsafeAddress):
        check_target("https://x.example/", False, lambda h, p: ["93.184.216.34", ip])
    assert check_target("https://x.example/", True, lambda h, p: [ip]).ip == ip


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "[::ffff:169.254.169.254]", "localhost"])
def test_odd_spellings_of_inside_addresses_are_refused_before_any_connection(host):
    assert isinstance(Poster(f"https://{host}/").post(b"{}", {}, 0), Failed)


def test_the_name_is_resolved_once_so_dns_cannot_flip():
    asked = []
    check_target("https://x.example/", False, lambda h, p: asked.append(h) or ["93.184.216.34"])
    assert asked == ["x.example"]


@pytest.mark.parametrize("url", ["http://93.184.216.34/", "file:///etc/passwd", "https://a:b@x.example/"])
def test_other_schemes_and_credentials_in_the_url_are_refused(url):
    assert isinstance(Poster(url, resolve=lambda h, p: ["93.184.216.34"]).post(b"", {}, 0), Failed)


def test_hostile_names_become_no_mention_or_link_in_slack():
    text, blocks = payload(note(subject="<!channel> <https://x|ok> `code` @here \u202eevil\x00" + "y" * 9000))
    assert "&lt;!channel&gt;" in text and "<" not in text
    assert "`" not in text and "\u202e" not in text and "\x00" not in text and "@here" not in text
    assert len(text) <= 3000 and len(blocks[0]["text"]["text"]) <= 150 and "abcdef01" in text
    markdown = [e["text"] for b in blocks for e in b.get("elements", []) if e["type"] == "mrkdwn"]
    assert not any("channel" in m or "x|ok" in m for m in markdown)
    assert all(f["type"] == "plain_text" for f in blocks[1]["fields"])


def test_backoff_grows_honours_retry_after_and_gives_up_after_a_day():
    assert [delay_ms(n, None, lambda: 0.999999) for n in (1, 2, 30)] == [1999, 3999, 299999]
    assert delay_ms(1, None, lambda: 0.0) == 1000 and delay_ms(1, 60_000, lambda: 0.5) == 60_000
    assert is_dead(0, 86_400_000) and not is_dead(0, 86_399_999)
    assert parse_retry_after("Thu, 01 Jan 1970 00:00:10 GMT", 4000) == 6000
    assert parse_retry_after("soon", 0) is None and parse_retry_after("nan", 0) is None


def test_the_registry_says_what_is_allowed():
    with pytest.raises(ValueError, match="log, slack, webhook, pagerduty"):
        build_channel("pager", {})
    assert build_channel("log", {}).send(note(), 1, 0) == Sent()
