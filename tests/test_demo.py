"""The demo as a newcomer runs it, at double speed: the whole loop from calm to a retrain that helped; Ctrl-C drains."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.faults.daemon import ROOT
from tests.servers.ports import free_port

STEPS = [  # in the order in which they are told
    "alert: drift: income drift, version 3", "alert: accuracy-fell: performance accuracy, version 3", "retrain requested: performance",
    "approved by driftd demo: --approve auto", "retrain call received: model credit", "trained: version 4 takes half",
    "version 4 helped: accuracy 0.", "resolved: ",
]  # fmt: skip


@pytest.mark.timeout(170)
def test_the_demo_shows_the_whole_loop_and_drains(tmp_path):
    port, written = free_port(), tmp_path / "out"
    command = [sys.executable, "-m", "monitor.cli", "demo", "--data", str(tmp_path / "data"), "--port", str(port), "--speed", "2"]
    with written.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT)
    try:
        started = time.monotonic()
        while "resolved: " not in written.read_text():
            assert process.poll() is None and time.monotonic() - started < 140, written.read_text()[-4000:]
            time.sleep(0.5)
        seconds = time.monotonic() - started
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            page = answer.read().decode()
        assert float(re.search(r'driftd_messages_total\{role="events",source="demo"\} (\S+)', page)[1]) / seconds >= 200.0
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/retrains", timeout=5) as answer:
            assert b"<script" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
    told = " ".join(written.read_text().split())  # lines are wrapped
    assert sorted(STEPS, key=told.index) == STEPS, told[-4000:]
    assert "drained and stopped" in told
    store = sqlite3.connect(tmp_path / "data" / "driftd.db")
    status, version, verdict, author = store.execute("SELECT status, new_version, verdict, author FROM retrain").fetchone()
    assert (status, version, verdict, author) == ("succeeded", "4", "helped", "driftd demo")
    rules = store.execute("SELECT DISTINCT rule, status FROM alert WHERE status IN ('firing', 'resolved')").fetchall()
    assert dict(rules) == {"drift": "resolved", "accuracy-fell": "resolved"}
