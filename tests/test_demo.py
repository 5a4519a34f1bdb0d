"""The demo as a newcomer runs it, faster: the whole loop from calm to a retrain that helped, approved by itself, by a click, by a
command; Ctrl-C drains."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from types import SimpleNamespace

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from monitor import app
from monitor.demo.run import run_demo
from tests.faults.daemon import ROOT
from tests.servers.chromium import Chromium
from tests.servers.ports import free_port

STEPS = [  # in the order in which they are told
    "alert: drift: income drift, version 3", "alert: accuracy-fell: performance accuracy, version 3", "retrain requested: performance",
    "approved by driftd demo: --approve auto", "retrain call received: model credit", "trained: version 4 takes half",
    "version 4 helped: accuracy 0.", "resolved: ",
]  # fmt: skip


class Demo:
    """The demo as a process. told: what it has said so far, lines joined."""

    def __init__(self, folder, *options):
        self.port, self.data, self._written = free_port(), folder / "data", folder / "out"
        command = [sys.executable, "-m", "monitor.cli", "demo", "--data", str(self.data), "--port", str(self.port), *options]
        self._out = self._written.open("wb")
        self.process = subprocess.Popen(command, stdout=self._out, stderr=self._out, cwd=ROOT)
        self.started = time.monotonic()

    @property
    def told(self):
        return " ".join(self._written.read_text().split())

    def until(self, words, seconds):
        while words not in self.told:
            assert self.process.poll() is None and time.monotonic() - self.started < seconds, self.told[-4000:]
            time.sleep(0.3)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def ask(self, query):
        with contextlib.closing(sqlite3.connect(self.data / "driftd.db")) as store:
            return store.execute(query).fetchall()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@pytest.fixture
def demo(tmp_path):
    running = []

    def start(*options):
        running.append(Demo(tmp_path, *options))
        return running[0]

    yield start
    for one in running:
        one.process.kill()
        one.process.wait()
        one._out.close()


RETRAIN = "SELECT status, new_version, verdict, author, reason FROM retrain"


@pytest.mark.timeout(170)
def test_the_demo_shows_the_whole_loop_and_drains(demo):
    it = demo("--speed", "3")
    it.until("resolved: ", 140)
    seconds = time.monotonic() - it.started
    read = float(re.search(r'driftd_messages_total\{role="events",source="demo"\} (\S+)', it.get("/metrics"))[1])
    assert read / seconds >= 200.0
    assert it.interrupt() == 0
    assert sorted(STEPS, key=it.told.index) == STEPS, it.told[-4000:]
    assert "drained and stopped" in it.told
    assert it.ask(RETRAIN) == [("succeeded", "4", "helped", "driftd demo", "--approve auto")]
    rules = it.ask("SELECT DISTINCT rule, status FROM alert WHERE status IN ('firing', 'resolved')")
    assert dict(rules) == {"drift": "resolved", "accuracy-fell": "resolved"}


@pytest.mark.timeout(170)
def test_a_click_on_the_page_approves_the_retrain_and_the_loop_closes(demo):
    try:
        chromium = Chromium()
    except RuntimeError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with contextlib.closing(chromium):
        it = demo("--speed", "3", "--approve", "ask")
        page = chromium.driver
        it.until("approve it: press Enter, or http", 100)
        page.get(f"http://127.0.0.1:{it.port}/retrains")
        wait = WebDriverWait(page, 30)
        wait.until(lambda d: d.find_element(By.CSS_SELECTOR, "main td a")).click()
        approve = (By.XPATH, "//main//button[normalize-space()='Approve']")
        wait.until(lambda d: d.find_element(*approve))
        page.find_element(By.NAME, "author").send_keys("ada")
        page.find_element(By.NAME, "comment").send_keys("the data is fixed")
        page.find_element(*approve).click()
        it.until("approved by ada: the data is fixed", 140)
        it.until("resolved: ", 160)
        page.refresh()
        wait.until(lambda d: "helped" in d.find_element(By.TAG_NAME, "h1").text)
        assert chromium.errors() == []
    assert it.ask(RETRAIN) == [("succeeded", "4", "helped", "ada", "the data is fixed")]
    assert it.interrupt() == 0


@pytest.mark.timeout(170)
def test_a_command_beside_the_demo_approves_the_retrain(demo):
    it = demo("--speed", "3", "--approve", "ask")
    it.until("approve it: press Enter, or http", 100)
    name = it.ask("SELECT id FROM retrain")[0][0]
    command = ["retrains", "approve", name[:8], "-c", str(it.data / "config.yaml"), "--reason", "looks right", "--author", "bob"]
    done = subprocess.run([sys.executable, "-m", "monitor.cli", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    it.until("retrain call received: model credit", 140)
    assert "approved by bob: looks right" in it.told
    assert it.interrupt() == 0


def test_a_folder_that_is_no_demos_is_not_deleted(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert run_demo(tmp_path, 0, 1.0) == 2
    assert (tmp_path / "thesis.txt").exists() and "holds something else than a demo" in " ".join(capsys.readouterr().out.split())


def test_a_port_that_is_taken_is_told_before_anything_is_deleted(tmp_path, capsys):
    (tmp_path / "retrain-secret").write_text("of the demo that runs")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_demo(tmp_path, port, 1.0) == 2
    assert (tmp_path / "retrain-secret").exists() and f"--port {port}" in capsys.readouterr().out


@pytest.mark.parametrize(("code", "ends", "words"), [(app.UNDRAINED, 0, "draining took too long"), (130, 130, "stopped at once")])
def test_a_drain_that_takes_too_long_ends_well_and_a_second_interrupt_at_once(code, ends, words):
    script = f"from rich.console import Console; from monitor.demo.run import leave; leave(Console(), {code})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, words in done.stdout) == (ends, True), done


def test_signals_drain_then_leave(monkeypatch):
    handlers, left = {}, []
    monkeypatch.setattr(app.signal, "signal", lambda number, handler: handlers.update({number: handler}))
    loop = SimpleNamespace(stopping=False, stop=lambda: setattr(loop, "stopping", True))
    cut_off = threading.Event()
    app._stop_on_signals(loop, 20, lambda code: (left.append(code), cut_off.set()))
    handlers[signal.SIGINT](signal.SIGINT, None)
    assert loop.stopping and cut_off.wait(10) and left == [app.UNDRAINED]
    handlers[signal.SIGINT](signal.SIGINT, None)
    assert left == [app.UNDRAINED, 130]
