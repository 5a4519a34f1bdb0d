"""What can go wrong with the store, and whether trying again helps.

    StoreError                 give up: wrong schema, no rights, another writer, broken data
      StoreLocked              another daemon has this SQLite file
      StoreTooNew              made by a newer driftd
    StoreUnavailable           try again: away, restarting, full, deadlocked
"""

from __future__ import annotations

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


def classify(error: exc.SQLAlchemyError) -> Exception:
    """The error to raise for a database error: StoreUnavailable where it passes by itself."""
    text = " ".join(str(getattr(error, "orig", error)).split())[:300]
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if isinstance(error, exc.DBAPIError):
        if state is None and (error.connection_invalidated or isinstance(error, exc.OperationalError)):
            return StoreUnavailable(text)
        if state is not None and str(state).startswith(RETRYABLE_CLASSES):
            return StoreUnavailable(text)
        if any(word in text.lower() for word in SQLITE_PASSING):
            return StoreUnavailable(text)
        if error.connection_invalidated:
            return StoreUnavailable(text)
    if isinstance(error, exc.TimeoutError):
        return StoreUnavailable(text)
    return StoreError(text)


def deadlocked(error: exc.SQLAlchemyError) -> bool:
    """Whether two transactions waited for each other: the same again, at once, passes."""
    return str(getattr(getattr(error, "orig", None), "sqlstate", "")) in ("40P01", "40001")
