"""Logs: one line an event, whatever names hold; a flood is bounded and said."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from monitor import logs
from monitor.logs import log_event


@pytest.fixture
def logger():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield logging.getLogger("driftd.test")
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_name_with_a_newline_stays_one_line(form, logger, capsys):
    logs.setup(form, "info")
    log_event(logger, logging.INFO, "published", model='evil\n{"level": "error"}\x1b[31m', rows=3)
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "\x1b" not in text
    if form == "json":
        assert json.loads(text)["rows"] == 3


def test_a_flood_is_cut_and_counted(logger, capsys, monkeypatch):
    logs.setup("json", "info")
    now = [1000.0]
    monkeypatch.setattr(logging.time, "time", lambda: now[0])
    monkeypatch.setattr(logging.time, "time_ns", lambda: int(now[0] * 1e9), raising=False)
    for i in range(logs.EVENTS_PER_PERIOD + 50):
        log_event(logger, logging.WARNING, "kafka", n=i)
    log_event(logger, logging.WARNING, "other")
    now[0] += logs.PERIOD_S + 1
    log_event(logger, logging.WARNING, "kafka", n=-1)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(lines) == logs.EVENTS_PER_PERIOD + 2 and lines[-1]["left_out"] == 50


def test_what_a_command_warns_of_names_its_place(tmp_path):
    """A replay sets up no daemon's log: its warnings still say more than the name of the event."""
    (tmp_path / "c.yaml").write_text(
        f"store: {{url: 'sqlite:///{tmp_path}/x.db'}}\n"
        "models: [{name: m, task: none, features: {x: numeric}, window: {size: 1m}}]\n"
    )
    events = [
        {"event_id": str(i), "ts": 1_767_225_600_000 + i, "model": "m", "version": "1", "features": {"x": i}} for i in range(50)
    ]
    (tmp_path / "e.jsonl").write_text("\n".join(json.dumps(e) for e in events))
    code = (
        "from monitor import analysis, cli\n"
        "analysis.GROUP_ANALYSERS['broken'] = lambda part: 1 / 0\n"
        "cli.main(['replay', 'e.jsonl', '-c', 'c.yaml'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()},
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if "score_failed" in line)
    assert "ZeroDivisionError" in line and "model=m" in line and "analyser=broken" in line
