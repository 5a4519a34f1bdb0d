"""open_store: a database's address becomes a Store."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url

from monitor.store.errors import StoreError, StoreLocked, StoreTooNew, StoreUnavailable
from monitor.store.store import Store, StoredReference

__all__ = ["Store", "StoreError", "StoreLocked", "StoreTooNew", "StoreUnavailable", "StoredReference", "open_store"]

STATEMENT_TIMEOUT_S = 60
BUSY_TIMEOUT_S = 20


def open_store(url: str | URL, read_only: bool = False, guest: bool = False) -> Store:
    """Open postgresql+psycopg://… or sqlite:///file. Connects at the first use.

    An SQLite file has one writer: a second raises StoreLocked. read_only takes no lock and never writes; a guest takes
    none either, and writes short transactions beside the daemon (an acknowledgement, a reference).
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, read_only, guest)
    if parsed.get_backend_name() != "postgresql":
        raise StoreError(f"store.url: {parsed.get_backend_name()!r} is not supported; use postgresql+psycopg or sqlite")
    return Store(_postgres(parsed))


def _postgres(url: URL) -> Engine:
    options = f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000} -c idle_in_transaction_session_timeout=120000"
    if "options" in url.query:
        options = f"{url.query['options']} {options}"
        url = url.difference_update_query(["options"])
    args: dict[str, Any] = {
        "options": options,
        "connect_timeout": 5,
        "keepalives_idle": 30,
        "tcp_user_timeout": 30_000,
        "application_name": "driftd",
    }
    return create_engine(
        url.set(drivername="postgresql+psycopg"), connect_args=args, pool_pre_ping=True, pool_size=4, max_overflow=4,
        pool_timeout=10, hide_parameters=True,
    )  # fmt: skip


def _open_sqlite(url: URL, read_only: bool, guest: bool) -> Store:
    if not url.database or url.database == ":memory:":
        raise StoreError("store.url: sqlite needs a file, as in sqlite:///driftd-data/driftd.db")
    path = Path(url.database)
    release: Any = lambda: None  # noqa: E731
    if read_only:
        if not path.exists():
            raise StoreError(f"store.url: {path} does not exist; `driftd run` or `driftd migrate` makes it")
    elif not guest:
        path.parent.mkdir(parents=True, exist_ok=True)
        release = _lock(path)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # BEGIN is ours, see _begin
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
            if not (read_only and pragma.startswith("journal_mode")):
                connection.execute(f"PRAGMA {pragma}")
        if read_only:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        reads = read_only or connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return Store(engine, release)


def _lock(path: Path) -> Any:
    """Hold a lock beside the file until released; the kernel frees it when the process dies."""
    handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreLocked(
            f"store.url: another process writes to {path}. SQLite has one writer: stop that driftd first, "
            "or use PostgreSQL for several replicas"
        ) from error
    return lambda: os.close(handle)
