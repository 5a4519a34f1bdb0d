"""What can go wrong with the store, and whether trying again helps.

StoreError                 give up: wrong schema, no rights, another writer, broken data
  StoreLocked              another daemon has this SQLite file
  StoreTooNew              made by a newer driftd
StoreUnavailable           try again: away, restarting, full, deadlocked
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import psycopg
from sqlalchemy import exc

RETRYABLE_CLASSES = ("08", "53", "57", "40", "58", "55P03")  # SQLSTATE classes that pass by themselves
SQLITE_PASSING = ("locked", "busy", "disk is full", "disk i/o error", "unable to open")


class StoreError(RuntimeError):
    """Trying again does not help; the message says what does."""


class StoreLocked(StoreError):
    """Another process writes to this SQLite file."""


class StoreTooNew(StoreError):
    """The store was migrated by a newer release."""


class StoreUnavailable(RuntimeError):
    """The store is away or full for now: nothing was written, try the same again."""


DATABASE_ERRORS = (exc.SQLAlchemyError, psycopg.Error, sqlite3.Error)  # the latter two from COPY and raw cursors


@contextlib.contextmanager
def classified() -> Iterator[None]:
    """Raise what the database raises as one of this module's errors."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise classify(error) from error


def classify(error: Exception) -> Exception:
    """The error to raise for a database error: StoreUnavailable where it passes by itself."""
    text = " ".join(str(getattr(error, "orig", error)).split())[:300]
    raw = getattr(error, "orig", None) or error
    state = getattr(raw, "sqlstate", None)
    passes = isinstance(error, exc.TimeoutError) or getattr(error, "connection_invalidated", False)
    if state is not None:
        passes = passes or str(state).startswith(RETRYABLE_CLASSES)
    elif isinstance(raw, sqlite3.Error):
        passes = passes or any(word in text.lower() for word in SQLITE_PASSING)
    else:  # without a state the connection itself broke
        passes = passes or isinstance(raw, psycopg.OperationalError | psycopg.InterfaceError)
    return StoreUnavailable(text) if passes else StoreError(text)


def deadlocked(error: Exception) -> bool:
    """Whether two transactions waited for each other: the same again, at once, passes."""
    return str(getattr(getattr(error, "orig", None) or error, "sqlstate", "")) in ("40P01", "40001")
