"""Short transactions for a part of the store: one to write in, one to read in, what goes wrong told as the store's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import Connection, Engine

from monitor.store.errors import DATABASE_ERRORS, classify


class Transactions:
    """A part of the store is a subclass. Both raise StoreUnavailable (try again) or StoreError (do not)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(reads=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as conn:
                yield conn
        except DATABASE_ERRORS as error:
            raise classify(error) from error

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._reader.connect() as conn:
                yield conn
        except DATABASE_ERRORS as error:
            raise classify(error) from error
