"""Logs: one line an event, whatever names hold; a flood is bounded and said."""

from __future__ import annotations

import json
import logging

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
