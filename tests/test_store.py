"""The store's contract, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import event, inspect, text

from detectors.columns import DictColumn
from detectors.ragged import Ragged
from monitor.checkpoint import (
    ArrivedLabels,
    LateRows,
    OutboxRow,
    PaneBlob,
    PartitionCut,
    ScoreRow,
    SeenIds,
    WaitingPredictions,
    WindowRow,
)
from monitor.events import DeadLetter, PartitionKey
from monitor.store import StoredReference, StoreLocked, StoreTooNew, open_store
from monitor.store.migrations import LATEST
from monitor.store.schema import metadata
from monitor.store.terms import Terms

KEY = PartitionKey("predictions", "events", 0)
LABELS = PartitionKey("labels", "labels", 0)


@pytest.fixture
def store(store_url):
    opened = open_store(store_url)
    opened.migrate()
    opened.label_wait_ms = {"credit": 1000}
    yield opened
    opened.close()


def claim(store, key=KEY, role="events"):
    return store.claim({key: role}, "me", 1, 1000)[key]


def cut(token, expected, following, key=KEY, **more):
    return PartitionCut(
        key=key, token=token, expected_offset=expected, next_offset=following, max_ts_ms=5000, idle=False, now_ms=9, **more
    )


def outcomes(joined):
    """What absorb was told, as plain rows."""
    return [
        (r.model, t, label, truth, w)
        for r in joined
        for t, label, truth, w in zip(
            r.ts_ms.tolist(), r.predicted_label.to_list(), r.true_label.to_list(), r.weight.tolist(), strict=True
        )
    ]


class Absorbed:
    def __init__(self):
        self.rows = []

    def __call__(self, key, joined, read):
        self.rows.append(sorted(outcomes(joined)))
        before = read("credit", 0)
        return [PaneBlob("credit", "performance", 0, (before or b"") + b"x", 1)]


def as_bytes(rows):
    return Ragged.of_bytes(list(rows)) or Ragged.missing(len(rows), np.uint8)


def predictions(ids, ts=100, label="yes", payload=None):
    n = len(ids)
    return WaitingPredictions(
        "credit",
        np.array([[i, i] for i in ids], dtype=np.uint64),
        np.full(n, ts, dtype=np.int64),
        np.zeros(n, dtype=np.int64),
        DictColumn.from_list(['["1", []]'] * n),
        DictColumn.from_list([label] * n),
        np.full(n, 0.5),
        None if payload is None else as_bytes(payload),
    )


def labels(ids, ts=200, label="no", payload=None):
    n = len(ids)
    return ArrivedLabels(
        np.array([[i, i] for i in ids], dtype=np.uint64),
        np.full(n, ts, dtype=np.int64),
        DictColumn.from_list([label] * n),
        np.full(n, np.nan),
        None if payload is None else as_bytes(payload),
    )


def test_payloads_come_back_with_their_other_half(store):
    """Each row its own, null and empty ones too, in either order; a corrected label gives the old one back."""
    seen = []

    def absorb(key, joined, read):
        for r in joined:
            given, true = r.payload.to_bytes(), r.true_payload.to_bytes()
            seen.extend(zip(r.ts_ms.tolist(), given, true, r.weight.tolist(), strict=True))
        return []

    def write(batch, role):
        key = KEY if role == "events" else LABELS
        if key not in tokens:
            tokens[key] = claim(store, key, role).token
        more = {"waiting": [batch]} if role == "events" else {"labels": batch}
        assert store.checkpoint([cut(tokens[key], at[key], at[key] + 1, key, **more)], absorb) == set()
        at[key] += 1
        found = sorted(seen, key=str)
        seen.clear()
        return found

    tokens, at = {}, {KEY: -1, LABELS: -1}
    assert write(predictions([1, 2, 3], payload=[b"one", None, b""]), "events") == []
    assert write(labels([4], label=None, payload=[b"early"]), "labels") == []
    found = write(labels([3, 1, 2], label=None, payload=[b"c", b"a", None]), "labels")
    assert found == [(100, None, None, 1), (100, b"", b"c", 1), (100, b"one", b"a", 1)]
    assert write(predictions([4], payload=[b"four" * 300]), "events") == [(100, b"four" * 300, b"early", 1)]
    assert write(labels([1], label=None, payload=[b"A"]), "labels") == [], "the greater of two labels of one time stands"
    found = write(labels([1], label=None, payload=[b"b"]), "labels")
    assert found == [(100, b"one", b"a", -1), (100, b"one", b"b", 1)]
    assert write(labels([1], ts=300, label="plain"), "labels") == [(100, b"one", None, 1), (100, b"one", b"b", -1)]


def test_the_tables_have_the_shape_that_the_code_knows(store):
    found = inspect(store.engine)
    for table in metadata.sorted_tables:
        columns = {c["name"]: c for c in found.get_columns(table.name)}
        assert set(columns) == {c.name for c in table.columns}, table.name
        for column in table.columns:
            if not column.primary_key:
                assert columns[column.name]["nullable"] == column.nullable, (table.name, column.name)
        assert set(found.get_pk_constraint(table.name)["constrained_columns"]) == {c.name for c in table.primary_key}
        assert {i["name"] for i in found.get_indexes(table.name)} >= {i.name for i in table.indexes}, table.name


def test_migrations_run_once_and_refuse_the_future(store):
    assert store.migrate() == store.schema_version() == LATEST
    with store.engine.begin() as conn:
        conn.execute(text("INSERT INTO schema_version VALUES (:v, 0)"), {"v": LATEST + 1})
    with pytest.raises(StoreTooNew):
        store.migrate()
    with pytest.raises(StoreTooNew):
        store.require_schema()


def test_a_claim_gives_back_the_last_checkpoint(store):
    first = claim(store)
    assert (first.next_offset, first.max_ts_ms, first.panes) == (-1, None, [])
    panes = [PaneBlob("credit", "inputs", 4500, b"open", 3), PaneBlob("credit", "inputs", 1000, b"closed", 2)]
    seen = [SeenIds(4000, b"old"), SeenIds(6000, b"young")]
    done = cut(first.token, -1, 7, panes=panes, seen=seen, seen_before_ms=5000)
    assert store.checkpoint([done], Absorbed()) == set()
    second = claim(store)
    assert (second.next_offset, second.max_ts_ms) == (7, 5000)
    assert [p.blob for p in second.panes] == [b"open"] and [s.blob for s in second.seen] == [b"young"]
    assert second.token != first.token


def test_the_fence_refuses_an_old_owner_whole_and_no_one_else(store):
    other = PartitionKey("predictions", "events", 1)
    old, mine = claim(store), claim(store, other)
    new = claim(store)
    dead = [DeadLetter(1, 0, "late", "x")]
    stale = cut(old.token, -1, 5, panes=[PaneBlob("credit", "inputs", 0, b"stale", 1)], dead=dead, counts={"late": 1})
    good = cut(mine.token, -1, 3, key=other, panes=[PaneBlob("credit", "inputs", 0, b"good", 1)])
    assert store.checkpoint([stale, good], Absorbed()) == {KEY}
    with store.publishing("credit") as tx:
        assert [(p.key, p.blob) for p in tx.partials(0, 1)] == [(other, b"good")]
    assert store.counts() == {} and store.rows(text("SELECT * FROM dead_letter")) == []
    assert claim(store).next_offset == -1 and new.token


def test_a_commit_whose_answer_was_lost_is_not_done_twice(store):
    token = claim(store).token
    once = cut(token, -1, 5, counts={"accepted": 5})
    assert store.checkpoint([once], Absorbed()) == set()
    assert store.checkpoint([once], Absorbed()) == set()
    assert store.counts()[KEY] == {"accepted": 5}
    beyond = cut(token, -1, 9, counts={"accepted": 9})
    assert store.checkpoint([beyond], Absorbed()) == {KEY}


def test_every_pair_is_joined_once_whichever_half_comes_first(store):
    token, label_token = claim(store).token, claim(store, LABELS, "labels").token
    seen = Absorbed()
    store.checkpoint([cut(token, -1, 1, waiting=[predictions([1, 2, 3])])], seen)
    store.checkpoint([cut(label_token, -1, 1, key=LABELS, labels=labels([2, 3, 4]))], seen)
    assert seen.rows == [[("credit", 100, "yes", "no", 1)] * 2]
    store.checkpoint([cut(token, 1, 2, waiting=[predictions([4, 2])])], seen)  # 2 again: another copy of the event
    assert seen.rows[1:] == [[("credit", 100, "yes", "no", 1)]]
    store.checkpoint([cut(label_token, 1, 2, key=LABELS, labels=labels([1, 2, 3]))], seen)  # 2 and 3: the same label again
    assert seen.rows[2:] == [[("credit", 100, "yes", "no", 1)]]


def test_a_corrected_label_retracts_the_one_before(store):
    token, label_token = claim(store).token, claim(store, LABELS, "labels").token
    seen = Absorbed()
    store.checkpoint([cut(token, -1, 1, waiting=[predictions([1])])], seen)
    store.checkpoint([cut(label_token, -1, 1, key=LABELS, labels=labels([1], 300, "b"))], seen)
    store.checkpoint([cut(label_token, 1, 2, key=LABELS, labels=labels([1], 200, "z"))], seen)  # older: changes nothing
    store.checkpoint([cut(label_token, 2, 3, key=LABELS, labels=labels([1], 300, "c"))], seen)  # as old, greater
    store.checkpoint([cut(label_token, 3, 4, key=LABELS, labels=labels([1], 300, "a"))], seen)
    assert seen.rows == [
        [("credit", 100, "yes", "b", 1)],
        [("credit", 100, "yes", "b", -1), ("credit", 100, "yes", "c", 1)],
    ]


def test_labels_before_the_prediction_count_the_last_one_only(store):
    token, label_token = claim(store).token, claim(store, LABELS, "labels").token
    seen = Absorbed()
    store.checkpoint([cut(label_token, -1, 1, key=LABELS, labels=labels([1], 200, "a"))], seen)
    store.checkpoint([cut(label_token, 1, 2, key=LABELS, labels=labels([1], 300, "b"))], seen)
    store.checkpoint([cut(token, -1, 1, waiting=[predictions([1])])], seen)
    assert seen.rows == [[("credit", 100, "yes", "b", 1)]]


def test_a_label_after_the_wait_is_counted_and_not_joined(store):
    token, label_token = claim(store).token, claim(store, LABELS, "labels").token
    seen = Absorbed()
    store.checkpoint([cut(token, -1, 1, waiting=[predictions([1, 2], ts=100)])], seen)
    store.checkpoint([cut(label_token, -1, 1, key=LABELS, labels=labels([1], 1100), counts={"labels": 2})], seen)
    store.checkpoint([cut(label_token, 1, 2, key=LABELS, labels=labels([2], 1101))], seen)
    assert len(seen.rows) == 1 and store.counts()[LABELS] == {"labels": 2, "label_expired": 1}


def test_an_attempt_that_fails_leaves_nothing(store):
    token = claim(store).token

    def broken(key, joined, read):
        raise RuntimeError("stop")

    ready = cut(token, -1, 1, waiting=[predictions([1])], panes=[PaneBlob("credit", "inputs", 0, b"p", 1)])
    label_token = claim(store, LABELS, "labels").token
    store.checkpoint([cut(label_token, -1, 1, key=LABELS, labels=labels([1]))], Absorbed())
    with pytest.raises(RuntimeError):
        store.checkpoint([ready], broken)
    assert claim(store).next_offset == -1
    seen = Absorbed()
    store.checkpoint([cut(claim(store).token, -1, 1, waiting=[predictions([1])])], seen)
    assert seen.rows == [[("credit", 100, "yes", "no", 1)]]


def test_late_rows_are_added_where_the_pane_ever_held_rows(store):
    token = claim(store).token
    first = cut(token, -1, 1, panes=[PaneBlob("credit", "inputs", 0, b"p", 1)])
    first.late.append(LateRows("credit", 0, 2))
    store.checkpoint([first], Absorbed())
    second = cut(token, 1, 2)
    second.late += [LateRows("credit", 0, 3), LateRows("credit", 60, 9)]
    store.checkpoint([second], Absorbed())
    with store.publishing("credit") as tx:
        assert [(p.kind, p.pane_start_ms, p.rows) for p in tx.partials(0, 100) if p.kind == "late"] == [("late", 0, 5)]


def test_panes_are_unsettled_until_their_version_is_published(store):
    token = claim(store).token
    store.checkpoint([cut(token, -1, 1, panes=[PaneBlob("credit", "inputs", 0, b"1", 1)])], Absorbed())
    with store.publishing("credit") as tx:
        [(key, start, version)] = tx.unsettled()
        assert (start, version) == (0, 1)
    store.checkpoint([cut(token, 1, 2, panes=[PaneBlob("credit", "inputs", 0, b"2", 1)])], Absorbed())
    with store.publishing("credit") as tx:
        tx.settle([(key, 1)])  # the pane grew meanwhile
        assert tx.unsettled() == [(key, 0, 2)]
        tx.settle([(key, 2)])
        assert tx.unsettled() == []


def window(revision, rows=5):
    return WindowRow("credit", 0, 60, revision, rows, 0, 0, "ref", "hash", {"a/b/0/inputs/0": revision}, 9)


def score(name, value):
    return ScoreRow("credit", "1", "", 0, 60, 1, "income\t\\x", name, value, 5, "ref", None, "ok")


def test_a_window_and_its_scores_are_replaced_whole(store):
    with store.publishing("credit") as tx:
        tx.write_window(window(1), [score("psi", 0.1), score("ks", None)])
    with store.publishing("credit") as tx:
        assert tx.windows(0) == [window(1)]
        tx.write_window(window(2, 6), [score("psi", 1 / 3)])
    rows = store.rows(text("SELECT subject, score, value FROM score"))
    assert rows == [{"subject": "income\t\\x", "score": "psi", "value": 1 / 3}]
    assert store.windows("credit")[0]["revision"] == 2 and store.windows("other") == []


def outbox_row(key, group="credit", channel="hook"):
    return OutboxRow(key, channel, group, "a1", "{}", 1)


def test_the_outbox_keeps_order_within_a_group_and_takes_a_key_once(store):
    with store.publishing("credit") as tx:
        tx.enqueue([outbox_row("1"), outbox_row("2"), outbox_row("3", "other"), outbox_row("1")])
    box = store.outbox
    assert [r.key for r in box.claim_due(10, 10, 100)] == ["1", "2", "3"]
    assert box.claim_due(50, 10, 100) == []  # leased
    box.mark_retry("1", 500, 1, "503")
    box.mark_sent("3", 60)
    assert [r.key for r in box.claim_due(200, 10, 100)] == []  # 2 waits behind 1
    again = box.claim_due(500, 10, 100)
    assert [(r.key, r.attempts) for r in again] == [("1", 1), ("2", 0)]
    box.mark_dead("1", "gone")
    box.mark_sent("2", 510)
    assert box.counts() == {"sent": 2, "dead": 1}
    assert box.load_channel_state("hook") is None
    box.save_channel_state("hook", b"s", None)
    box.save_channel_state("hook", b"t", b"s")
    assert box.load_channel_state("hook") == b"t"


def test_references_are_versioned_and_one_is_active(store):
    for n, active in ((1, True), (2, True), (3, False)):
        store.save_reference(StoredReference("credit", f"r{n}", n, n, active, b"blob"))
    assert [(r.name, r.active) for r in store.references("credit")] == [("r1", False), ("r2", True), ("r3", False)]
    assert store.activate_reference("credit", "r1", 9) == 0 and store.activate_reference("credit", "nope", 9) is None
    assert [r.name for r in store.references() if r.active] == ["r1"]


def test_retention_takes_what_is_old_and_settled(store):
    token = claim(store).token
    day = 86_400_000
    panes = [PaneBlob("credit", "inputs", at, b"p", 1) for at in (0, 2 * day, 9 * day)]
    store.checkpoint([cut(token, -1, 1, panes=panes, dead=[DeadLetter(0, 0, "late", "d")])], Absorbed())
    with store.publishing("credit") as tx:
        tx.settle([(k, v) for k, start, v in tx.unsettled() if start])
        tx.write_window(window(1), [score("psi", 0.1)])
    removed = store.retire(100 * day, panes_ms=3 * day, windows_ms=50 * day, dead_letters_ms=day)
    assert removed == {"pane": 1, "score": 1, "model_window": 1, "dead_letter": 1}
    with store.publishing("credit") as tx:
        assert sorted(p.pane_start_ms for p in tx.partials(0, 10 * day)) == [0, 9 * day]  # 0 is not settled yet


def test_predictions_over_the_limit_go_oldest_first(store):
    token = claim(store).token
    store.checkpoint([cut(token, -1, 1, waiting=[predictions([1], ts=1), predictions([2, 3], ts=50)])], Absorbed())
    store.max_pending = {"credit": 2}
    assert store.retire(1, 1, 1, 1)["pending_overflow"] == 1
    seen = Absorbed()
    label_token = claim(store, LABELS, "labels").token
    store.checkpoint([cut(label_token, -1, 1, key=LABELS, labels=labels([1, 2]))], seen)
    assert seen.rows == [[("credit", 50, "yes", "no", 1)]]


def test_a_second_writer_of_an_sqlite_file_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/d.db"
    first = open_store(url)
    first.migrate()
    with pytest.raises(StoreLocked, match="stop that driftd first"):
        open_store(url)
    reader = open_store(url, read_only=True)
    assert reader.schema_version() == LATEST
    reader.close()
    first.close()
    open_store(url).close()


def test_a_number_of_a_term_whose_commit_failed_is_not_remembered(store):
    """Else another text would be given that number, and rows that wait for a label would change their class."""
    terms = Terms(store.engine)

    def fails(conn):
        event.remove(store.engine, "commit", fails)
        raise OSError("fsync: disk I/O error")

    event.listen(store.engine, "commit", fails)
    with pytest.raises(OSError, match="fsync"):
        terms.codes(DictColumn.from_list(["repaid"]))
    Terms(store.engine).codes(DictColumn.from_list(["default"]))  # another transaction takes the number that was given back
    codes = terms.codes(DictColumn.from_list(["repaid", "default"]))
    assert Terms(store.engine).column(codes).to_list() == ["repaid", "default"]
