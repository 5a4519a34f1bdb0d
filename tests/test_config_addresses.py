"""Where channels may connect to is checked before anything is sent, secret addresses too; and where they do is what --connect tries."""

from __future__ import annotations

import socket

import pytest

from alerts.channels.address import UnsafeAddress, check_target
from alerts.channels.registry import CHANNELS
from alerts.retraining.adapters import ADAPTERS
from monitor.config import ConfigError, missing_secrets, parse_config
from monitor.connect import NOT_TRIED, try_all

HEAD = "models: [{name: m}]\nalerts:\n  channels:\n    c: "
PRIVATE = "not a public address: set allow_private: true"


@pytest.mark.parametrize(
    ("channel", "line"),
    [
        ("{type: webhook, url: 'https://10.0.0.1/x'}", "url"),
        ("{type: webhook, url: 'http://10.0.0.1/x'}", "url"),
        ("{type: webhook, url: 'https://0x7f000001/x'}", "url"),
        ("{type: alertmanager, url: 'http://127.0.0.1:9093'}", "url"),
        ("{type: pagerduty, routing_key_env: K, url: 'https://192.168.1.1'}", "url"),
        ("{type: email, host: 10.0.0.5, sender: a@example.com, recipients: [b@example.com]}", "host"),
        ("{type: email, host: localhost, sender: a@example.com, recipients: [b@example.com]}", "host"),
        ("{type: retrain, url: 'https://10.0.0.3'}", "url"),
        ("{type: retrain, adapter: github, options: {url: 'https://10.0.0.3', repository: a/b, workflow: w, token_env: T}}", "options.url"),
        ("{type: retrain, adapter: sagemaker, options: {url: 'https://10.0.0.3', pipeline: p, region: eu-west-1}}", "options.url"),
    ],
)  # fmt: skip
def test_a_private_address_is_refused_with_its_line_and_the_fix(channel, line):
    with pytest.raises(ConfigError) as caught:
        parse_config(HEAD + channel, "t.yaml")
    (problem,) = caught.value.problems
    assert PRIVATE in problem.message and problem.line == 4 and problem.path == f"alerts.channels.c.{line}", str(problem)
    allowed = channel.replace("{url", "{allow_private: true, url") if "options" in line else channel[:-1] + ", allow_private: true}"
    parse_config(HEAD + allowed, "t.yaml")


@pytest.mark.parametrize("kind", ["slack", "teams", "discord"])
@pytest.mark.parametrize("url", ["https://127.0.0.1/services/canary", "http://10.1.2.3/canary", "https://[::1]/canary"])
def test_a_secret_address_is_checked_and_not_told(monkeypatch, kind, url):
    text = HEAD + f"{{type: {kind}, webhook_url_env: HIDDEN_URL}}"
    cfg = parse_config(text, "t.yaml")
    monkeypatch.setenv("HIDDEN_URL", url)
    (problem,) = missing_secrets(cfg, "t.yaml", text)
    assert PRIVATE in problem.message and "canary" not in str(problem)
    assert (problem.line, problem.path) == (4, "alerts.channels.c.webhook_url_env")
    allowed = parse_config(text[:-1] + ", allow_private: true}", "t.yaml")
    assert missing_secrets(allowed, "t.yaml", text) == []
    monkeypatch.setenv("HIDDEN_URL", "https://hooks.example.com/services/canary")
    assert missing_secrets(cfg, "t.yaml", text) == []


def test_that_an_address_is_private_is_told_before_that_it_is_not_encrypted():
    with pytest.raises(UnsafeAddress, match="10.0.0.1, not a public address"):
        check_target("http://10.0.0.1/", False)
    with pytest.raises(UnsafeAddress, match="not encrypted"):
        check_target("http://93.184.216.34/", False)


def test_every_type_says_where_it_connects_to():
    given = {"url": "u", "webhook_url": "u", "host": "h", "adapter": "webhook"}
    assert {name for name, kind in CHANNELS.items() if not kind.address(given)} == {"log"}
    needs = {"argv": ["true"], "region": "r", "url": ""}
    itself = {name for name, kind in ADAPTERS.items() if "url" not in kind.required and kind.address(needs)}
    assert itself == {"github", "gitlab", "sagemaker", "vertex"} and not ADAPTERS["command"].address(needs)
    assert ADAPTERS["github"].address({}) == "https://api.github.com" and ADAPTERS["gitlab"].address({}) == "https://gitlab.com"
    assert ADAPTERS["sagemaker"].address({"region": "eu-west-1"}) == "https://api.sagemaker.eu-west-1.amazonaws.com"


def test_connecting_tries_the_address_of_each_channel_and_says_what_it_does_not_try(monkeypatch, tmp_path):
    text = f"""
store: {{url: "sqlite:///{tmp_path}/d.db"}}
models: [{{name: m}}]
alerts:
  channels:
    log: {{type: log}}
    mail: {{type: email, host: mail.example.com, sender: a@example.com, recipients: [b@example.com]}}
    pager: {{type: pagerduty, routing_key_env: KEY}}
    bot: {{type: slack, bot_token_env: KEY, channel: "#a"}}
    git: {{type: retrain, adapter: github, options: {{repository: a/b, workflow: w, token_env: KEY}}}}
    here: {{type: retrain, adapter: command, options: {{argv: ["true"], directory: {tmp_path}/r}}}}
"""
    monkeypatch.setenv("KEY", "k" * 32)
    tried = []

    def resolved(host, port, *args, **kwargs):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.9" if host == "mail.example.com" else "93.184.216.34", port))]

    def connect(where, timeout):
        tried.append(where)
        raise OSError("nobody is there")

    cfg = parse_config(text, "t.yaml")
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(socket, "create_connection", connect)
    found = dict(try_all(cfg))
    assert found["channel log"] == found["channel here"] == NOT_TRIED
    assert tried == [("events.pagerduty.com", 443), ("slack.com", 443), ("api.github.com", 443)]
    assert "mail.example.com is 10.0.0.9, not a public address" in found["channel mail"]
    assert found["channel pager"] == "events.pagerduty.com:443 does not answer: nobody is there"
