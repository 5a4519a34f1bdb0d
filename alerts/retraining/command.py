"""A local program: the request as JSON on its standard input, its exit code decides.

start puts a supervisor into the background (supervise.py), which outlives the daemon and leaves `result.json`:

    DIRECTORY/driftd-ID/    job.json, request.json    what is run, with what
                            lock                      held by the supervisor as long as it lives
                            began                     the program was begun: it is not begun a second time
                            result.json               how it ended; stdout.txt, stderr.txt: the last 64 kB of each

A supervisor that is gone without a result is said to be lost. The program gets PATH, HOME, LANG, TZ and the variables that
`environment` names, nothing else: the daemon's own secrets are not its business.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alerts.channels.base import Failed, Retry
from alerts.retraining import supervise
from alerts.retraining.adapter import Finished, PollOutcome, Running, Started, StartOutcome
from alerts.retraining.client import shortened
from alerts.retraining.options import Options, safe_name
from alerts.retraining.request import RetrainRequest

PLAIN_VARIABLES = ("PATH", "HOME", "LANG", "TZ")
KEPT_RUNS = 100
RESULT_BYTES_MOST = 1_000_000
GRACE_MS = 120_000  # beyond the time limit, until a run on another host is given up


@dataclass(frozen=True, slots=True, repr=False)
class CommandAdapter:
    """children: the supervisors that this process began, to be reaped. host: a run is only asked about where it runs."""

    argv: tuple[str, ...]
    directory: Path
    time_limit_s: float
    environment: tuple[str, ...]
    host: str = field(default_factory=socket.gethostname)
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        name = safe_name(request.id)
        place, run = self.directory / name, f"{self.host}/{name}/{now_ms}"
        if shutil.which(self.argv[0]) is None:
            return Failed(f"there is no program {self.argv[0]!r} that can be run")
        try:
            place.mkdir(parents=True, mode=0o700, exist_ok=True)
            lock = os.open(place / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if (place / "began").exists() or (place / "result.json").exists():
                    return Started(run)
                self._prune(keep=name)
                self._supervise(place, name, request, lock)
            except BlockingIOError:
                pass  # its supervisor lives
            finally:
                os.close(lock)  # the supervisor's copy keeps it locked
        except OSError as error:
            return Retry(None, f"{self.directory} cannot be used: {error.strerror}")
        return Started(run)

    def poll(self, run: str, now_ms: int) -> PollOutcome:
        host, name, started = (*run.split("/"), "", "")[:3]
        child = self.children.get(name)
        if child is not None and child.poll() is not None:
            self.children.pop(name)
        place = self.directory / name
        try:
            result = _result(place / "result.json")
            if result is not None:
                return _ended(result, place)
            if host != self.host:
                late = started.isdigit() and now_ms - int(started) > self.time_limit_s * 1000 + GRACE_MS
                return Finished(False, f"lost: it ran on {shortened(host)} and left no result") if late else Running()
            if not name or not place.is_dir():
                return Finished(False, f"lost: there is nothing of it in {self.directory}")
            if _is_held(place / "lock"):
                return Running()
            result = _result(place / "result.json")  # it may have ended between the two looks
            return _ended(result, place) if result is not None else Finished(False, "lost: it was stopped and left no result")
        except OSError as error:
            return Retry(None, f"{self.directory} cannot be read: {error.strerror}")

    def _supervise(self, place: Path, name: str, request: RetrainRequest, lock: int) -> None:
        (place / "request.json").write_text(json.dumps(request.payload(), sort_keys=True))
        (place / "job.json").write_text(json.dumps({"argv": self.argv, "time_limit_s": self.time_limit_s}))
        handed = {k: os.environ[k] for k in (*PLAIN_VARIABLES, *self.environment) if k in os.environ}
        self.children[name] = subprocess.Popen(
            [sys.executable, "-I", "-S", supervise.__file__, str(place)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**handed, "DRIFTD_RETRAIN_ID": request.id.replace("\0", "")},
            pass_fds=(lock,), start_new_session=True,
        )  # fmt: skip

    def _prune(self, keep: str) -> None:
        """Keep the newest ended runs."""
        ended = [p.parent for p in self.directory.glob("driftd-*/result.json") if p.parent.name != keep]
        for place in sorted(ended, key=lambda p: p.stat().st_mtime, reverse=True)[KEPT_RUNS:]:
            shutil.rmtree(place, ignore_errors=True)


def _is_held(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _result(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(RESULT_BYTES_MOST))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _ended(result: dict[str, Any], place: Path) -> Finished:
    code, why = result.get("code"), result.get("why")
    if why or not isinstance(code, int):
        return Finished(False, shortened(f"{why or 'its result cannot be read'}; see {place}"))
    said = result.get("said")
    version = said.get("version") if isinstance(said, dict) else ""
    if code != 0:
        return Finished(False, shortened(f"exit code {code}; see {place / 'stderr.txt'}"))
    return Finished(True, "exit code 0", version if isinstance(version, str) else str(version or ""))


def build(options: Options) -> CommandAdapter:
    argv, directory = options.get("argv"), options.get("directory")
    if not isinstance(argv, list | tuple) or not argv or not argv[0] or not all(isinstance(a, str) and "\0" not in a for a in argv):
        raise ValueError("adapter command: argv must be a list of the program and its arguments, as in [python, train.py]")
    if not isinstance(directory, str) or not os.path.isabs(directory):
        raise ValueError(f"adapter command: directory is {directory!r}, must be an absolute path that only driftd writes to")
    limit = options.get("time_limit_seconds", 6 * 3600)
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= 30 * 86_400:
        raise ValueError(f"adapter command: time_limit_seconds is {limit!r}, must be above 0 and at most 30 days")
    names = options.get("environment", [])
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ValueError("adapter command: environment must be a list of names of variables")
    return CommandAdapter(tuple(argv), Path(directory), float(limit), tuple(names))
