"""The daemon as a process of its own, for tests; and the hooks that faults need, set from outside.

python -m tests.faults.daemon CONFIG
FP=after_commit:3    end the process (os._exit) at the third time that this point is reached
NO_FENCE=1           take the fence's condition out of the checkpoint: results must become wrong
POLL_ROWS=7          at most so many messages a poll
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
POINTS = (
    "before_commit",
    "in_commit",
    "after_commit",
    "before_publish",
    "in_publish",
    "after_publish",
    "before_sent",
    "after_sent",
)


class Daemon:
    """One replica of the real daemon."""

    def __init__(self, config: Path, log: Path, **environment: str) -> None:
        self.config, self.log, self.environment = config, log, environment
        self.process: subprocess.Popen[bytes] | None = None
        self.before: list[str] = []  # a command that runs the daemon and leaves it its process id

    def start(self) -> None:
        env = {**os.environ, **self.environment, "PYTHONUNBUFFERED": "1"}
        out = self.log.open("ab")
        command = [*self.before, sys.executable, "-m", "tests.faults.daemon", str(self.config)]
        self.process = subprocess.Popen(command, stdout=out, stderr=out, env=env, cwd=ROOT)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def stop(self, seconds: float = 20.0) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return int(self.process.wait(seconds))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log lines of one event."""
        found = []
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                parsed = json.loads(line)
                if parsed.get("event") == name:
                    found.append(parsed)
        return found

    def address(self) -> str:
        return str(self.events("started")[-1]["address"])

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.address() + path, timeout=5) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            return int(error.code), error.read().decode()


def _install(point: str, count: int, act: Callable[[], None]) -> None:
    """Count down at a named point and act there."""
    left = [count]
    from monitor.store.commit import Committer
    from monitor.store.outbox import Outbox
    from monitor.store.publish import PublishingTransaction

    def reach(name: str) -> None:
        if name == point:
            left[0] -= 1
            if left[0] == 0:
                act()

    def wrap(owner: Any, method: str, before: str, after: str) -> None:
        original = getattr(owner, method)

        def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            reach(before)
            result = original(self, *args, **kwargs)
            reach(after)
            return result

        setattr(owner, method, wrapped)

    wrap(Committer, "write", "before_commit", "after_commit")
    wrap(Committer, "_write_one", "", "in_commit")
    wrap(PublishingTransaction, "write_window", "before_publish", "in_publish")
    wrap(PublishingTransaction, "settle", "", "settled")
    wrap(Outbox, "mark_sent", "before_sent", "after_sent")


def main() -> None:
    from monitor import app, logs, loop
    from monitor.config import load_config

    cfg = load_config(Path(sys.argv[1]))
    logs.setup(cfg.log.format, cfg.log.level)

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    for variable, act in (("FP", lambda: os._exit(137)), ("STOP_AT", stop)):
        if os.environ.get(variable):
            name, _, count = os.environ[variable].partition(":")
            _install(name, int(count or 1), act)
    if os.environ.get("NO_FENCE"):
        from monitor.store.commit import Committer

        original = Committer.__init__

        def unfenced(self: Any, *args: Any) -> None:
            original(self, *args)
            self.fenced = False

        Committer.__init__ = unfenced  # type: ignore[method-assign]
    if os.environ.get("POLL_ROWS"):
        loop.POLL_ROWS = int(os.environ["POLL_ROWS"])
    app.run(cfg)


if __name__ == "__main__":
    main()
