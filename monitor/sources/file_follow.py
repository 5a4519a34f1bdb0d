"""A JSON-lines file as a source: one partition, its offsets are the bytes at which lines begin."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np

from monitor.events import PartitionKey, RawBatch
from monitor.sources.base import DeadLetterSink, Listener, SourceError

CHUNK_BYTES = 8 << 20
POLL_S = 0.2


class FileSource:
    """Follows a growing file, or reads it once to its end. A line counts when its newline is written."""

    def __init__(self, name: str, carries: str, path: Path, follow: bool) -> None:
        self.name, self.carries = name, carries
        self.dead_letters: DeadLetterSink | None = None
        self._path, self._follow = path, follow
        self._key = PartitionKey(name, path.name, 0)
        self._file: BinaryIO | None = None
        self._inode = -1
        self._at = 0
        self._rest = b""
        self._at_end = False
        self._paused = False
        self._lines = self._read_bytes = 0

    def start(self, listener: Listener) -> None:
        self._listener = listener
        self._at = max(0, listener.on_assign(self, [self._key])[self._key])

    def covers(self, key: PartitionKey) -> bool:
        return key == self._key

    def role(self, key: PartitionKey) -> str:
        return self.carries

    def poll(self, max_rows: int, timeout_ms: int) -> list[tuple[str, RawBatch]]:
        if self._paused:
            time.sleep(timeout_ms / 1000.0)
            return []
        if not self._open():
            time.sleep(timeout_ms / 1000.0)
            return []
        assert self._file is not None
        new = self._file.read(CHUNK_BYTES)
        if not new:
            self._at_end = True
            self._same_file()
            time.sleep(min(POLL_S, timeout_ms / 1000.0))
        data = self._rest + new
        if not self._follow and not new and data and not data.endswith(b"\n"):
            data += b"\n"  # the last line needs no newline where nothing will follow
        lines = data.split(b"\n")
        self._rest = lines.pop()
        if not lines:
            return []
        if len(lines) > max_rows:
            self._rest = b"\n".join([*lines[max_rows:], self._rest])
            lines = lines[:max_rows]
        self._at_end = False
        lengths = np.array([len(line) + 1 for line in lines], dtype=np.int64)
        ends = self._at + np.cumsum(lengths)
        now_ms = time.time_ns() // 1_000_000
        self._lines += len(lines)
        self._read_bytes += int(lengths.sum())
        keep = [i for i, line in enumerate(lines) if line.strip()]
        self._at = int(ends[-1])
        if not keep:
            return []
        offsets = (ends - lengths)[keep]
        values: list[bytes | None] = [lines[i].rstrip(b"\r") for i in keep]
        return [(self.carries, RawBatch(self._key, offsets, np.full(len(keep), now_ms), values, self._at))]

    def _open(self) -> bool:
        if self._file is not None:
            return True
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            if self._follow:
                return False  # it may come
            raise SourceError(f"source {self.name}: {self._path} does not exist; see sources[].path") from None
        state = os.fstat(self._file.fileno())
        self._inode = state.st_ino
        if state.st_size < self._at:
            self._replaced()
        self._file.seek(self._at)
        return True

    def _same_file(self) -> None:
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return
        if state.st_ino != self._inode or state.st_size < self._at + len(self._rest) - (not self._follow):
            self._replaced()

    def _replaced(self) -> None:
        raise SourceError(
            f"source {self.name}: {self._path} was replaced or cut short after {self._at} bytes were read. Follow a "
            "file that only grows, or give the new one a name of its own."
        )

    def caught_up(self, key: PartitionKey, next_offset: int) -> bool:
        return self._at_end and not self._paused and not self._rest

    def lag(self, key: PartitionKey) -> int | None:
        """An estimate: the unread bytes in lines of the mean length of those read."""
        if self._file is None:
            return 0 if not self._path.exists() else None
        unread = os.fstat(self._file.fileno()).st_size - self._at
        return max(0, round(unread * self._lines / max(1, self._read_bytes))) if self._lines else int(unread > 0)

    def reached(self) -> bool:
        return True

    def commit(self, offsets: dict[PartitionKey, int]) -> None: ...

    def pause_all(self) -> None:
        self._paused = True

    def resume_all(self) -> None:
        self._paused = False

    def keep_alive(self, timeout_ms: int) -> None: ...

    def rejoin(self) -> None:
        raise SourceError(f"source {self.name}: another process reads {self._path} into the same store; stop one of them")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
