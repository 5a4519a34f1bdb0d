"""Runs one program and writes down how it ended; a process of its own, without any other part of driftd: see command.py.

    python -I -S supervise.py DIRECTORY

The lock that it inherits is free when it is gone. A program that runs over its time is told to stop (SIGTERM), then killed, with
all that it began. Of its output the last 64 kB are kept; the last line of standard output that is a JSON object is its word.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

TAIL_BYTES = 65_536
STOP_SECONDS = 10.0


class Tail:
    """The last bytes of a stream, read so that the program never waits for a reader."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.kept = b""
        self._stream = stream
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        while chunk := os.read(self._stream.fileno(), TAIL_BYTES):
            self.kept = (self.kept + chunk)[-TAIL_BYTES:]


def last_word(output: bytes) -> dict[str, Any] | None:
    """The last line that is a JSON object."""
    for line in reversed(output.decode(errors="replace").splitlines()):
        if line.lstrip().startswith("{"):
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                return found
    return None


def supervised(place: Path) -> dict[str, Any]:
    job = json.loads((place / "job.json").read_text())
    (place / "began").touch()
    with (place / "request.json").open("rb") as request:
        try:
            program = subprocess.Popen(
                job["argv"], stdin=request, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )  # fmt: skip
        except OSError as error:
            return {"code": None, "why": f"it cannot be run: {error.strerror}"}
    assert program.stdout is not None and program.stderr is not None
    signal.signal(signal.SIGTERM, lambda *_: stop(program))
    out, err = Tail(program.stdout), Tail(program.stderr)
    why = ""
    try:
        program.wait(job["time_limit_s"])
    except subprocess.TimeoutExpired:
        why = f"it ran longer than {job['time_limit_s']:g} s"
        stop(program)
    for tail in (out, err):
        tail.thread.join(1.0)  # what it began may hold its output open
    (place / "stdout.txt").write_bytes(out.kept)
    (place / "stderr.txt").write_bytes(err.kept)
    return {"code": program.returncode, "why": why, "said": last_word(out.kept)}


def stop(program: subprocess.Popen[bytes]) -> None:
    """Its whole process group, first asked, then made."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(program.pid, how)
            program.wait(STOP_SECONDS)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def main() -> None:
    place = Path(sys.argv[1])
    result = supervised(place)
    new = place / "result.new"
    new.write_text(json.dumps(result))
    os.replace(new, place / "result.json")


if __name__ == "__main__":
    main()
