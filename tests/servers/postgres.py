"""A real PostgreSQL, started for the tests in a folder of its own, reached over loopback."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

import psycopg

from tests.servers.ports import answers, end, free_port, wait_for


def binaries() -> Path:
    """The folder of initdb and postgres: the newest of the system, or on the path."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[-2]))
    if found:
        return Path(found[-1])
    there = shutil.which("initdb")
    if there is None:
        raise RuntimeError("no PostgreSQL found: `make servers` installs it, or put initdb on the PATH")
    return Path(there).parent


class Postgres:
    """One server. start() after kill() or stop() brings the same data back."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="driftd-pg-"))
        self.port = free_port()
        self._bin = binaries()
        self._run_as: dict[str, object] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            user = next(pwd.getpwnam(n) for n in ("postgres", "nobody") if _known(n))
            self._run_as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self.data = self.folder / "data"
        self._call([str(self._bin / "initdb"), "-D", str(self.data), "-U", "driftd", "-A", "trust", "-E", "UTF8", "--no-sync"])
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def _call(self, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, cwd=self.folder, **self._run_as)  # type: ignore[call-overload]
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr.decode()[-2000:]}")

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        settings = [
            "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}", "-c", "max_wal_size=2GB",
            "-c", "shared_buffers=256MB", "-c", "max_connections=50", "-c", "log_min_messages=warning",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            [str(self._bin / "postgres"), "-D", str(self.data), "-p", str(self.port), *settings],
            stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self._run_as,  # type: ignore[call-overload]
        )  # fmt: skip
        wait_for(self._accepts, 60, f"PostgreSQL on port {self.port}; its log is {self.folder}/log")

    def _accepts(self) -> bool:
        if not answers(self.port):
            return False
        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=driftd dbname={database}"

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://driftd@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """A new empty database; its name."""
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name}")
        return name

    def stop(self, how: int = signal.SIGINT) -> None:
        """SIGINT: fast shutdown. SIGQUIT: immediate, as after a crash."""
        if self.process is not None:
            end(self.process, how, 30.0)
            self.process = None

    def kill(self) -> None:
        """SIGKILL the postmaster and all its children at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process = None

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


def _known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
