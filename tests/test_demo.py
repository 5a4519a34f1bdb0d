"""The demo as a newcomer runs it: alert and retrain call within two minutes, Ctrl-C drains and exits 0."""

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


@pytest.mark.timeout(150)
def test_the_demo_alerts_asks_for_a_retrain_and_drains(tmp_path):
    port = free_port()
    out = (tmp_path / "out").open("wb")
    command = [sys.executable, "-m", "monitor.cli", "demo", "--data", str(tmp_path / "data"), "--port", str(port)]
    process = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT)
    try:
        started = time.monotonic()
        while "retrain call received" not in (tmp_path / "out").read_text():
            assert process.poll() is None and time.monotonic() - started < 120, (tmp_path / "out").read_text()[-2000:]
            time.sleep(0.5)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            page = answer.read().decode()
        rate = float(re.search(r'driftd_messages_total\{role="events",source="demo"\} (\S+)', page)[1]) / (
            time.monotonic() - started
        )
        assert rate >= 200.0
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "drained and stopped" in (tmp_path / "out").read_text()
    finally:
        process.kill()
    store = sqlite3.connect(tmp_path / "data" / "driftd.db")
    firing = {r[0] for r in store.execute("SELECT rule FROM alert WHERE status = 'firing'")}
    assert firing & {"feature-drift", "accuracy-fell"}
    assert store.execute("SELECT count(*) FROM outbox WHERE state = 'sent'").fetchone()[0] >= 2
