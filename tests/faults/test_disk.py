"""Fault 15: the disk below SQLite. A file system that is full, and an fsync that fails: nothing is lost, nothing broken."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_exactly_once import FULL, SESSION_MS, hold, settle
from tests.faults.world import World
from tests.servers.ports import wait_for

EVENTS = 40_000 if FULL else 8_000
DISK_MB = 24
PIECES = 24


def need(present: bool, what: str) -> None:
    """With CI=true what is missing is a failure, elsewhere a skip that says so."""
    if not present:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"this test needs {what}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_MB megabytes."""
    need(os.geteuid() == 0, "root, to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def whole(path: Path) -> bool:
    connection = sqlite3.connect(path)
    found = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return bool(found == ("ok",))


@pytest.mark.timeout(300)
def test_a_full_file_system(tmp_path, kafka, disk):
    world = World(tmp_path, kafka, f"sqlite:///{disk}/driftd.db", EVENTS, session_ms=SESSION_MS)
    try:
        oracle = world.oracle()
        daemon = world.daemon()
        daemon.start()
        world.produce(len(world.records) // 3)
        wait_for(lambda: bool(daemon.events("published")), 30, "a first window")
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as out, pytest.raises(OSError, match="No space left"):
            while True:
                out.write(b"x" * 4096)
        assert shutil.disk_usage(disk).free == 0
        world.produce(len(world.records) // 3)
        wait_for(lambda: daemon.get("/ready")[0] == 503, 60, "readiness to fall")
        assert daemon.alive and daemon.get("/healthy")[0] == 200 and daemon.events("store_away")
        filler.unlink()
        wait_for(lambda: daemon.get("/ready")[0] == 200, 60, "readiness to return")
        settle(world, oracle)
        assert daemon.stop() == 0
        hold(world, oracle)
        assert whole(disk / "driftd.db")
    finally:
        world.close()


@pytest.mark.timeout(300)
def test_an_fsync_that_fails(tmp_path, kafka):
    """After the first 11, every fifth fsync of the daemon gives EIO."""
    need(shutil.which("strace") is not None, "strace")
    world = World(tmp_path, kafka, f"sqlite:///{tmp_path}/driftd.db", EVENTS, session_ms=SESSION_MS)
    try:
        oracle = world.oracle()
        daemon = world.daemon()
        calls, trace = "fsync,fdatasync", tmp_path / "trace"
        daemon.before = [
            "strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", str(trace), "-e", f"trace={calls}",
            "-e", f"inject={calls}:error=EIO:when=12+5",
        ]  # fmt: skip
        daemon.start()
        for _ in range(PIECES):  # each a commit at the least: some of the calls that fail are commits of the data loop
            world.produce(len(world.records) // PIECES)
            world.wait_read()
        settle(world, oracle)
        assert daemon.stop() == 0
        hold(world, oracle)
        assert "(INJECTED)" in trace.read_text() and daemon.events("store_away") and daemon.events("store_back")
        assert whole(tmp_path / "driftd.db")
    finally:
        world.close()
