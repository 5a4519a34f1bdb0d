"""Strings as numbers, so that a row that waits for its label has a fixed width. 0 stands for none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from sqlalchemy import Engine, select

from detectors.columns import Codes, DictColumn
from monitor.store.schema import term

CACHE_TERMS = 200_000


class Terms:
    """A cache over table `term`. Numbers are given once and never change."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(reads=True)  # a reader passes by an open SQLite transaction
        self._id_of: dict[str, int] = {}
        self._text_of: dict[int, str] = {}

    def codes(self, column: DictColumn) -> Codes:
        """The numbers of a column's strings, shape (n,); makes those that are new, in a transaction of its own."""
        self.learn(column.values)
        lookup = np.array([self._id_of[v] for v in column.values] + [0], dtype=np.int32)
        return lookup[column.codes]

    def code(self, text: str) -> int:
        self.learn([text])
        return self._id_of[text]

    def column(self, codes: Codes) -> DictColumn:
        """The strings of these numbers."""
        distinct, inverse = np.unique(codes, return_inverse=True)
        unknown = [int(c) for c in distinct if c and int(c) not in self._text_of]
        if unknown:
            with self._reader.connect() as conn:
                self._remember(conn.execute(select(term.c.id, term.c.text).where(term.c.id.in_(unknown))).all())
        values: list[str] = []
        local = np.empty(len(distinct), dtype=np.int32)
        for i, code in enumerate(distinct.tolist()):
            local[i] = -1 if code == 0 else len(values)
            if code:
                values.append(self._text_of[code])
        return DictColumn(local[inverse.reshape(-1)], values)

    def text(self, code: int) -> str:
        return self.column(np.array([code], dtype=np.int32)).values[0]

    def learn(self, texts: Iterable[str]) -> None:
        """Make numbers for strings that have none."""
        new = sorted({t for t in texts if t not in self._id_of})
        if not new:
            return
        if len(self._id_of) + len(new) > CACHE_TERMS:
            self._id_of.clear()
            self._text_of.clear()
            new = sorted(set(texts))
        found: list[tuple[int, str]] = []
        with self._engine.begin() as conn:
            conn.exec_driver_sql(
                "INSERT INTO term (text) VALUES (%s) ON CONFLICT DO NOTHING"
                if conn.dialect.name == "postgresql"
                else "INSERT INTO term (text) VALUES (?) ON CONFLICT DO NOTHING",
                [(t,) for t in new],
            )
            for at in range(0, len(new), 500):
                wanted = new[at : at + 500]
                found += [(n, t) for n, t in conn.execute(select(term.c.id, term.c.text).where(term.c.text.in_(wanted)))]
        self._remember(found)  # only now: a COMMIT that failed gave no numbers

    def _remember(self, rows: Iterable[tuple[int, str]]) -> None:
        for number, text in rows:
            self._id_of[text] = number
            self._text_of[number] = text
