"""The demo, wired: everything is on this machine, an SQLite file, a source inside the process, a pipeline on loopback."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from monitor import app, logs
from monitor.config import parse_config
from monitor.demo.pipeline import Pipeline
from monitor.demo.screen import Screen
from monitor.demo.settings import CONFIG, Pace
from monitor.demo.source import DemoSource
from monitor.demo.story import Story
from monitor.simulate import SimulatedServer
from monitor.store.errors import StoreError

LOOK_S = 0.5
SECRET = "retrain-secret"


def run_demo(
    data: Path, port: int, seconds: float | None, approve: str = "auto", pace: Pace | None = None, console: Console | None = None
) -> int:  # fmt: skip
    """Run the demo; returns the exit code. seconds: it ends by itself then. approve: "auto" | "ask"."""
    pace, clock, out = pace or Pace(), app.wall_clock_ms, console or Console()
    if trouble := _cannot_begin(data, port):
        out.print(trouble)
        return 2
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    secret = secrets.token_urlsafe(24)
    (data / SECRET).write_text(secret)
    pipeline = Pipeline(secret, pace.train_s, clock)
    text = CONFIG.format(data=data, port=port, window_ms=int(pace.window_s * 1000), pipeline_port=pipeline.port)
    (data / "config.yaml").write_text(text)
    cfg = parse_config(text, "the demo's config")
    logs.setup(cfg.log.format, "error")
    for name in ("driftd", "apscheduler"):
        logging.getLogger(name).setLevel(logging.ERROR)

    server = SimulatedServer(clock(), int(pace.calm_s * 1000), int(pace.drift_s * 1000), label_delay_ms=int(pace.labels_s * 1000))
    story = Story(server, pipeline, approve, pace, f"{data}/config.yaml", out.print)
    screen = Screen(server, story, clock())
    ends = None if seconds is None else time.monotonic() + seconds
    stopped = threading.Event()

    with Live(screen.render(clock()), console=out, refresh_per_second=2, transient=False) as live:

        def ready(daemon: app.Daemon) -> None:
            screen.address = pipeline.address = daemon.web.address
            live.console.print(f"driftd serves its page, /metrics, /ready and /healthy at {daemon.web.address}")
            live.console.print(f"the store is {data}/driftd.db, the config {data}/config.yaml")
            threading.Thread(target=_watch, args=(daemon.store, story, screen, live, stopped), name="story", daemon=True).start()
            if approve == "ask" and sys.stdin.isatty():
                threading.Thread(target=_wait_for_key, args=(story,), name="key", daemon=True).start()

        def until() -> bool:
            return ends is not None and time.monotonic() >= ends

        try:
            source: Any = DemoSource(server, clock)
            app.run(cfg, [source], ready, until, screen.on_published, leave=partial(leave, out))
        except KeyboardInterrupt:  # before it served
            out.print("stopped before it began")
            return 0
        finally:
            stopped.set()
            pipeline.close()
    out.print(f"drained and stopped: {screen.windows} windows, {len(pipeline.calls)} retrain call(s)")
    return 0


def _cannot_begin(data: Path, port: int) -> str:
    """Why not, before anything is deleted; "" where nothing is in the way."""
    if data.exists() and not (data / SECRET).is_file() and (not data.is_dir() or any(data.iterdir())):
        return f"--data {data}: holds something else than a demo, which would delete it; name an empty folder or a new one"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return f"--port {port}: {error.strerror}; another demo may run, choose another port"
    return ""


def leave(out: Console, code: int) -> None:
    """End the process at once, whatever lock is held; what was not drained is not lost: a daemon would read it again."""
    late = code == app.UNDRAINED
    words = "draining took too long; what was not committed would be read again" if late else "stopped at once"
    cursor = "\x1b[?25h" if out.is_terminal else ""
    os.write(out.file.fileno(), f"{cursor}\n{words}\n".encode())
    os._exit(0 if late else code)


def _watch(store: Any, story: Story, screen: Screen, live: Live, stopped: threading.Event) -> None:
    while not stopped.wait(LOOK_S):
        now_ms = app.wall_clock_ms()
        with contextlib.suppress(StoreError):  # busy, or approved elsewhere meanwhile: it looks again
            story.step(store, screen.address, now_ms)
            screen.look(store, now_ms)
        live.update(screen.render(now_ms))


def _wait_for_key(story: Story) -> None:
    while sys.stdin.readline():
        story.asked = story.retrain is not None
