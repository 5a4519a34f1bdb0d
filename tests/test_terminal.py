"""The terminal: status, watch, explain, and what people do with alerts, over a real store, beside a daemon that has it."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import subprocess
import sys

import pytest
from click.testing import CliRunner
from rich.console import Console

from alerts.notification import Notification
from monitor.cli import main
from monitor.explained import print_evidence
from monitor.store import open_store
from tests.faults.daemon import ROOT
from tests.seeded import build


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("terminal")
    build(folder)
    return folder


@pytest.fixture
def run(made, tmp_path):
    shutil.copy(made / "d.db", tmp_path / "d.db")
    config = tmp_path / "c.yaml"
    config.write_text((made / "c.yaml").read_text().replace(str(made), str(tmp_path)))

    def call(*arguments, code=0):
        command = [*arguments[:1], *arguments[1:], "-c", str(config)]
        done = CliRunner().invoke(main, [str(a) for a in command])
        assert done.exit_code == code, done.output
        return done.output

    call.config = config
    return call


def firing(run):
    return [a for a in json.loads(run("alerts", "list", "--json")) if a["status"] == "firing"][0]


def test_status_shows_partitions_models_and_alerts(run):
    text = run("status")
    assert "credit" in text and "accepted 4,800" in text and "drift" in text and "income" in text
    assert run("watch", "--times", "2", "--every", "0.2").count("driftd") >= 1


def test_an_alert_is_listed_shown_and_explained(run):
    name = firing(run)["alert"]
    assert name[:8] in run("alerts") and name[:8] in run("alerts", "list", "--model", "credit")
    assert "--model other: the config has credit" in run("alerts", "list", "--model", "other", code=2)
    shown = run("alerts", "show", name[:8])
    assert "threshold_crossed" in shown and "income" in shown and "history" in shown
    assert json.loads(run("alerts", "show", name, "--json"))["alert"]["alert"] == name
    assert "limit 0.25" in run("explain", name)
    assert "there is no alert" in run("alerts", "show", "ffffffffffff", code=1)


def test_a_group_hands_its_config_on(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for command in (["alerts", "-c", str(run.config), "list"], ["retrains", "-c", str(run.config), "list"]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
    every = CliRunner().invoke(main, ["alerts", "--all", "-c", str(run.config), "list", "--json"])
    assert len(json.loads(every.output)) == len(json.loads(run("alerts", "list", "--all", "--json")))


@pytest.mark.parametrize("name", ["[/]", "x[/bold]", "[red]income[/red]", "\x1b[31mred\x1b[0m", "a\nb\u202e"])
def test_hostile_names_are_shown_as_they_are(run, name):
    with sqlite3.connect(run.config.parent / "d.db") as db:
        db.execute("UPDATE alert SET subject = ?, score = ?, rule = ? WHERE status = 'firing'", (name, f"share:{name}", name))
    for command in (["alerts"], ["alerts", "list", "--all"], ["status"], ["models"]):
        shown = run(*command)
        assert "\x1b" not in shown and "\u202e" not in shown
        if command[0] != "models" and name.isprintable():
            assert name[:6] in shown


def test_references_are_built_and_activated_while_the_daemon_has_the_file(run, tmp_path):
    with open(tmp_path / "train.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["income", "age", "region"])
        writer.writerows([1000.0 + i, 20 + i % 50, "NY" if i % 2 else "MA"] for i in range(200))
    daemon = open_store(f"sqlite:///{run.config.parent}/d.db")
    try:
        run("reference", "build", "--model", "credit", "--from", tmp_path / "train.csv", "--no-activate")
        names = [r.name for r in daemon.references("credit")]
        assert "is active" in run("reference", "activate", "--model", "credit", names[-1])
    finally:
        daemon.close()


def test_what_is_shown_is_also_there_as_json(run):
    (model,) = json.loads(run("models", "--json"))
    assert model["model"] == "credit" and model["windows"] == 12 and model["reference"] == "first_2_windows"
    state = json.loads(run("status", "--json"))
    assert state["counts"]["accepted"] == 4800 and state["models"][0]["alerts"] == model["alerts"] > 0
    assert json.loads(run("explain", firing(run)["alert"], "--json"))["cells"]


def test_no_colours_in_a_pipe(run):
    script = "import sys; from monitor.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, "status", "-c", str(run.config)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "credit" in done.stdout and "\x1b[" not in done.stdout


def test_alerts_are_taken_silenced_and_given_back_while_the_daemon_has_the_file(run):
    daemon = open_store(f"sqlite:///{run.config.parent}/d.db")  # holds the lock, as the daemon does
    try:
        name = firing(run)["alert"]
        assert "is acknowledged" in run("alerts", "ack", name, "--comment", "mine", "--author", "ada")
        assert "ada" in run("alerts", "show", name)
        assert "fires again" in run("alerts", "unack", name)
        assert "acknowledged one can be given back" in run("alerts", "unack", name, code=1)
        text = run("alerts", "silence", "--match", "model=credit", "--for", "2h", "--reason", "deploy", "--author", "ada")
        number = text.split()[1]
        assert number in run("alerts", "silences") and "deploy" in run("alerts", "silences")
        assert "is over" in run("alerts", "unsilence", number)
        assert "no silence" in run("alerts", "silences") and number in run("alerts", "silences", "--all")
        kinds = [r["kind"] for r in daemon.actions.audit(limit=10)[0]]
        assert kinds[:4] == ["unsilence", "silence", "unack", "ack"]
    finally:
        daemon.close()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("silence", "--match", "model", "--reason", "x"), 2, "LABEL=VALUE"),
        (("silence", "--match", "model=a", "--for", "soon", "--reason", "x"), 2, "soon"),
        (("silence", "--match", "model=a", "--start", "never", "--reason", "x"), 2, "ISO 8601"),
        (("unsilence", "nothing"), 1, "there is no silence"),
        (("test", "--channel", "pager"), 2, "the config has console, gone"),
        (("test", "--channel", "gone"), 3, "connection failed"),
    ],
)
def test_what_cannot_be_done_says_why(run, arguments, code, says):
    assert says in run("alerts", *arguments, code=code)


def test_a_channel_is_tried_with_a_marked_message(run, monkeypatch):
    seen: list[Notification] = []
    monkeypatch.setattr("alerts.channels.log.LogChannel.send", lambda self, n, attempt, now_ms: seen.append(n) or _sent())
    assert "console: sent" in run("alerts", "test", "--channel", "console")
    assert seen[0].status == "test" and "console" in seen[0].comment


def _sent():
    from alerts.channels.base import Sent

    return Sent()


def test_evidence_is_drawn_whatever_it_holds(monkeypatch):
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    monkeypatch.setattr("monitor.explained.console", lambda: console)
    alert = {"model": "m", "version": "3", "segment": "", "subject": "[red]x[/red]\x1b[31m", "score": "psi", "value": 0.5,
             "threshold": None, "rows": 3, "status": "firing"}  # fmt: skip
    for evidence in (
        {"reference_shares": [0.9, 0.1], "current_shares": [0.1, 0.9], "cells": ["< 5", ">= 5"]},
        {"share_change": {"MA": 0.2, "NY": -0.2}},
        {"segments": [{"segment": "a", "share": 0.5}, {"segment": "b", "share": 0.1}]},
        {"note": "plain"},
        {},
    ):
        print_evidence({"alert": {**alert, "evidence": evidence}, "history": []})
    text = console.export_text()
    assert "< 5" in text and "█" in text and "MA" in text and "0.5" in text and "keeps no evidence" in text
    assert "[red]x[/red]" in text and "\x1b[31m" not in text
