"""Rows of bytes that are all of one length take short ways through the join: the same bytes come out as of rows that differ."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.ragged import Ragged
from monitor.store.join_postgres import column_of, pack_wide, texts_of
from monitor.waiting_cells import FREE_MAGIC, FREE_WIDTH, MAGIC, WIDTH, split_cells, split_heads, with_heads

one_length = st.integers(0, 40).flatmap(lambda n: st.lists(st.binary(min_size=n, max_size=n), min_size=1, max_size=12))
any_length = st.lists(st.one_of(st.none(), st.binary(max_size=40)), min_size=1, max_size=12)
rows = st.one_of(one_length, any_length)


def ragged(texts):
    return Ragged.of_bytes(texts) or Ragged.missing(len(texts), np.uint8)


@given(rows, st.lists(st.integers(0, 10**6), max_size=20))
def test_rows_are_taken_as_from_a_list(texts, index):
    index = [i % len(texts) for i in index]
    assert ragged(texts).take(np.array(index, dtype=np.int64)).to_bytes() == [texts[i] for i in index]


@given(rows, st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_heads_come_back_and_payloads_stay(texts, free, all_rows, seed):
    rng = np.random.default_rng(seed)
    magic, width = (FREE_MAGIC, FREE_WIDTH) if free else (MAGIC, WIDTH)
    heads = rng.integers(0, 256, (len(texts), width)).astype(np.uint8)
    heads[:, :4] = magic
    if not all_rows:
        heads[rng.random(len(texts)) < 0.5] = 0
    joined = with_heads(ragged(texts), heads)
    there = heads[:, 0] != 0
    expected = [
        (heads[i].tobytes() if there[i] else b"") + (t or b"") if there[i] or t is not None else None for i, t in enumerate(texts)
    ]
    assert (joined or ragged(texts)).to_bytes() == expected
    back, found = split_heads(joined or ragged(texts), magic, width)
    assert (found == heads).all()
    assert back.to_bytes() == [None if there[i] and not t else t for i, t in enumerate(texts)]
    rest, dense, free_heads = split_cells(joined or ragged(texts))
    assert rest.to_bytes() == back.to_bytes() and ((free_heads if free else dense) == heads).all()


@given(rows, st.integers(1, 30))
def test_a_packed_row_ends_in_its_payload(texts, width):
    fixed = [struct.pack(">h", 3) + bytes(range(width)) for _ in texts]
    expected = b"".join(
        struct.pack(">h", 4) + f[2:] + (struct.pack(">i", -1) if t is None else struct.pack(">i", len(t)) + t)
        for f, t in zip(fixed, texts, strict=True)
    )
    assert pack_wide(b"".join(fixed), ragged(texts)) == expected


def array(elements, kind=17):
    """A binary array of PostgreSQL (src/backend/utils/adt/arrayfuncs.c, array_send)."""
    body = b"".join(struct.pack(">i", -1) if e is None else struct.pack(">i", len(e)) + e for e in elements)
    return struct.pack(">iiiii", 1, int(None in elements), kind, len(elements), 1) + body


@given(rows)
def test_bytes_from_the_database_are_read_alike_or_one_by_one(texts):
    assert texts_of(array(texts)).to_bytes() == texts
    assert texts_of(None).rows == 0


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9), st.lists(st.floats(), min_size=1, max_size=9))
def test_numbers_from_the_database_are_those_that_were_sent(whole, floats):
    assert column_of(array([struct.pack(">q", w) for w in whole], 20), "i8").tolist() == whole
    assert column_of(array([struct.pack(">d", f) for f in floats], 701), "f8").tobytes() == np.array(floats).tobytes()
    assert column_of(None, "i4").shape == (0,)
