"""A serving process and its children, or all processes of a cgroup: CPU, memory, network, open files.

Network is that of the process's network namespace, the pod's: Linux counts none for a single process. What the
operating system does not let us see, such as another user's open files, is left out of the sample.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import psutil

from monitor.resources.probe import ProbeUnavailable, Rates

CGROUPS = Path("/sys/fs/cgroup")
MAX_PROCESSES = 1000


class ProcessProbe:
    """find: the processes to watch, at each sample anew; empty where there is none."""

    def __init__(self, find: Callable[[], list[psutil.Process]], described: str) -> None:
        self._find = find
        self._described = described
        self._cpu: dict[tuple[int, float], float] = {}  # (pid, start) -> seconds used, at the last sample
        self._at_s = 0.0
        self._rates = Rates()

    def sample(self, now_s: float) -> dict[str, float]:
        try:
            found = self._find()
        except (OSError, ValueError, psutil.Error) as error:
            raise ProbeUnavailable(f"{self._described}: {error}") from None
        if not found:
            raise ProbeUnavailable(f"{self._described}: no such process; is the server running, and on this machine?")
        memory, files, files_known = 0, 0, False
        cpu: dict[tuple[int, float], float] = {}
        for process in found[:MAX_PROCESSES]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied), process.oneshot():
                times = process.cpu_times()
                cpu[process.pid, process.create_time()] = times.user + times.system
                memory += process.memory_info().rss
                with contextlib.suppress(psutil.AccessDenied, AttributeError):  # num_fds is POSIX only
                    files += process.num_fds()
                    files_known = True
        if not cpu:
            raise ProbeUnavailable(f"{self._described}: the processes may not be looked at; run driftd as their user")
        out = {"memory_bytes": float(memory)}
        if files_known:
            out["open_files"] = float(files)
        if self._cpu and now_s > self._at_s:
            used = sum(seconds - self._cpu[key] for key, seconds in cpu.items() if key in self._cpu)
            out["cpu_cores"] = max(0.0, used) / (now_s - self._at_s)
        self._cpu, self._at_s = cpu, now_s
        for name, counted in _network(next(iter(cpu))[0]).items():
            rate = self._rates.rate(name, counted, now_s)
            if rate is not None:
                out[name] = rate
        return out


def _network(pid: int) -> dict[str, float]:
    """Bytes received and sent since start, all interfaces but loopback, of the process's network namespace."""
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    except OSError:
        total = psutil.net_io_counters()
        return {} if total is None else _received_sent(total.bytes_recv, total.bytes_sent)
    received = sent = 0
    for line in lines:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() != "lo" and len(fields) >= 9:
            received += int(fields[0])
            sent += int(fields[8])
    return _received_sent(received, sent)


def _received_sent(received: int, sent: int) -> dict[str, float]:
    return {"network_receive_bytes_per_s": float(received), "network_transmit_bytes_per_s": float(sent)}


def by_pid(pid: int) -> Callable[[], list[psutil.Process]]:
    return lambda: _with_children(pid)


def by_pid_file(path: Path) -> Callable[[], list[psutil.Process]]:
    """The file is read at each sample: a server that starts again is followed."""
    return lambda: _with_children(int(path.read_text().split()[0]))


def by_name(name: str) -> Callable[[], list[psutil.Process]]:
    """All processes of that executable name."""

    def find() -> list[psutil.Process]:
        return sorted((p for p in psutil.process_iter(["name"]) if p.info["name"] == name), key=lambda p: p.pid)

    return find


def by_cgroup(path: str) -> Callable[[], list[psutil.Process]]:
    """The processes of a cgroup (version 2) and of those below it; "self" is driftd's own, its pod's container."""

    def find() -> list[psutil.Process]:
        folder = CGROUPS / _own_cgroup() if path == "self" else Path(path)
        if not (folder / "cgroup.procs").exists():
            raise ValueError(f"{folder} is no cgroup of version 2; name the server by pid, pid_file or process")
        files = [folder / "cgroup.procs", *sorted(folder.glob("**/cgroup.procs"))[:MAX_PROCESSES]]
        pids = {int(word) for file in files for word in file.read_text().split()}
        return [p for pid in sorted(pids) for p in _with_children(pid, children=False)]

    return find


def _own_cgroup() -> str:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")


def _with_children(pid: int, children: bool = True) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *(process.children(recursive=True) if children else [])]
    except psutil.NoSuchProcess:
        return []
