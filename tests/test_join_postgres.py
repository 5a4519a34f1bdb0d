"""The two ways into PostgreSQL's join table, copied where ids are new and upserted where they are not, say and leave the same."""

from __future__ import annotations

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.ragged import Ragged
from monitor.store import join_postgres, open_store
from monitor.store.join import FOUND, PAYLOADS
from monitor.store.join_postgres import PostgresJoin


@pytest.fixture(scope="module")
def connection(postgres):
    name = postgres.new_database()
    store = open_store(postgres.url(name))
    store.migrate()
    store.close()
    with psycopg.connect(postgres.dsn(name)) as opened:
        yield opened


def ids_of(numbers):
    """Ids of which several share their first half."""
    return np.array([(n // 2, n) for n in numbers], dtype=np.uint64).reshape(-1, 2)


def exchange(join, kind, numbers, at, lists):
    n = len(numbers)
    sent = [None if i % 3 == 2 else bytes([number]) * (1 + i % 2) for i, number in enumerate(numbers)]
    payload = Ragged.of_bytes(sent) or Ragged.missing(n, np.uint8)
    ts, one = np.arange(n) + 100 * at, np.ones(n, dtype=np.int32)
    if kind == "prediction":
        columns = {"ts_ms": ts, "pane_start_ms": ts // 10, "score": ts / 7, "model": one, "grp": one, "label": one}
        return join.predictions(ids_of(numbers), columns, payload if lists else None)
    return join.labels(ids_of(numbers), {"label_ts_ms": ts, "true_value": ts / 3, "true_label": one}, payload if lists else None)


def rows(slots):
    columns = [slots.columns[name].tolist() for name, _ in FOUND] + [p.to_bytes() for p in slots.payloads.values()]
    return sorted(map(repr, zip(*columns, strict=True)))  # a missing number is not equal to itself


def stored(connection):
    return [repr(row) for row in connection.execute("SELECT * FROM join_slot ORDER BY id")]


class Blind(PostgresJoin):
    """One that sees no id: as where another writer puts them in between looking and copying."""

    def _there(self, ids):
        return np.zeros(len(ids), dtype=np.bool_)


def told_and_left(connection, steps, join_of, lists):
    told = [rows(exchange(join_of(), kind, numbers, at, lists)) for at, (kind, numbers) in enumerate(steps, 1)]
    left = stored(connection)
    connection.rollback()
    return told, left


halves = st.tuples(st.sampled_from(["prediction", "label"]), st.lists(st.integers(0, 12), min_size=1, max_size=8))


@given(st.lists(halves, min_size=1, max_size=6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_copied_or_upserted_the_same_rows_come_back_and_stay(connection, steps, lists):
    payloads = PAYLOADS if lists else ()
    known: dict[str, bool] = {}
    upserted = {"prediction": False, "label": False}
    joins = {
        "looked up": lambda: PostgresJoin(connection, payloads),
        "as the last time says": lambda: PostgresJoin(connection, payloads, known),
        "another was first": lambda: Blind(connection, payloads),
    }
    expected = told_and_left(connection, steps, lambda: PostgresJoin(connection, payloads, dict(upserted)), lists)
    for name, join_of in joins.items():
        assert told_and_left(connection, steps, join_of, lists) == expected, name


def test_pieces_are_joined_one_after_the_other(connection, monkeypatch):
    whole = told_and_left(connection, [("prediction", range(5)), ("label", range(12))], lambda: PostgresJoin(connection), True)
    real = join_postgres.batches
    monkeypatch.setattr(join_postgres, "batches", lambda n: real(n, 2))
    steps = [("prediction", range(5)), ("label", range(12))]
    for said in ({}, {"prediction": False, "label": False}):
        assert told_and_left(connection, steps, lambda said=said: PostgresJoin(connection, mostly_new=dict(said)), True) == whole
    assert len(whole[0][1]) == 5 and len(whole[1]) == 12


def test_what_is_looked_up_follows_what_came(connection):
    said: dict[str, bool] = {}
    steps = [("prediction", range(10)), ("label", range(10)), ("label", range(10, 20))]
    seen = []
    for at, (kind, numbers) in enumerate(steps, 1):
        exchange(PostgresJoin(connection, (), said), kind, numbers, at, False)
        seen.append(dict(said))
    connection.rollback()
    assert seen == [{"prediction": True}, {"prediction": True, "label": False}, {"prediction": True, "label": True}]
