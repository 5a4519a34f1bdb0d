"""What people do with alerts, and its trail, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import json

import pytest

from monitor.checkpoint import OutboxRow
from monitor.store import open_store
from monitor.store.actions import NotFiring, UnknownAlert, UnknownSilence
from monitor.store.schema import ALERT_COLUMNS

ALERT = "abcdef0123456789"
MODEL = {"model": "credit"}


@pytest.fixture
def store(store_url):
    opened = open_store(store_url)
    opened.migrate()
    yield opened
    opened.close()


def written(store, status="firing", name=ALERT, **more):
    row = {
        "alert": name, "rule": "drift", "severity": "warning", "model": "credit", "version": "1", "segment": "",
        "subject": "income", "score": "psi", "status": status, "reason": "threshold_crossed", "value": 0.4, "threshold": 0.25,
        "rows": 500, "window_start_ms": 10, "window_end_ms": 20, "since_ms": 10, "revision": 1, "at_ms": 21, "grp": "g1",
        "level": "breach", "reference": "ref", "evidence": '{"shares": [0.1]}',
        "labels": json.dumps({"model": "credit", "subject": "income"}), **more,
    }  # fmt: skip
    with store.publishing("credit") as tx:
        tx.write_alerts([row])
        tx.enqueue([OutboxRow(f"key-{name}", "slack", "credit", name, "{}", 21)])


def test_an_acknowledgement_is_kept_with_who_and_why(store):
    written(store)
    row = store.actions.ack(ALERT, "ada", "on it", 100)
    assert (row["status"], row["at_ms"]) == ("acknowledged", 100)
    detail = store.actions.alert_detail(ALERT, 200)
    assert detail["alert"]["status"] == "acknowledged" and detail["alert"]["evidence"] == {"shares": [0.1]}
    assert [(r["status"], r["reason"]) for r in detail["history"]] == [
        ("acknowledged", "acknowledged"),
        ("firing", "threshold_crossed"),
    ]
    assert [(r["kind"], r["author"], r["reason"]) for r in detail["audit"]] == [("ack", "ada", "on it")]
    assert [(r["channel"], r["state"]) for r in detail["sent"]] == [("slack", "due")]
    assert detail["ack"]["author"] == "ada" and detail["ack"]["since_ms"] == 10
    store.actions.unack(ALERT, "ada", "not me", 300)
    assert [r["status"] for r in store.alerts()] == ["firing"] and store.actions.alert_detail(ALERT, 300)["ack"] is None


def test_what_does_not_fire_cannot_be_acknowledged(store):
    written(store, status="resolved")
    with pytest.raises(NotFiring, match="is resolved"):
        store.actions.ack(ALERT, "ada", "", 100)
    with pytest.raises(NotFiring):
        store.actions.unack(ALERT, "ada", "", 100)
    with pytest.raises(ValueError, match="author is missing"):
        store.actions.ack(ALERT, " ", "", 100)


def test_an_alert_is_found_by_the_beginning_of_its_name_if_that_is_enough(store):
    written(store)
    written(store, name="abcdef9999999999")
    assert store.actions.alert_detail("abcdef01", 1)["alert"]["alert"] == ALERT
    for wrong in ("abcdef", "abc", "nothere", "%%%%%%%"):
        with pytest.raises(UnknownAlert):
            store.actions.alert_detail(wrong, 1)


def test_a_silence_has_a_life_of_its_own(store):
    written(store)
    made = store.actions.silence({**MODEL, "subject": ["in*", "age"]}, 100, 200, "ada", "retraining", 50)
    assert made["state"] == "pending"
    for now, state in ((50, "pending"), (100, "active"), (199, "active"), (200, "expired")):
        assert [s["state"] for s in store.actions.list_silences(now)[0]] == [state]
        assert [s["id"] for s in store.actions.list_silences(now, state)[0]] == [made["id"]]
    assert [s["id"] for s in store.actions.alert_detail(ALERT, 150)["silences"]] == [made["id"]]
    assert store.actions.alert_detail(ALERT, 250)["silences"] == []
    ended = store.actions.unsilence(made["id"], "bob", "done", 150)
    assert (ended["state"], ended["ends_ms"]) == ("expired", 150)
    assert store.actions.unsilence(made["id"], "bob", "again", 160)["ends_ms"] == 150
    trail = [(r["kind"], r["author"], r["reason"]) for r in store.actions.audit()[0]]
    assert trail == [("unsilence", "bob", "done"), ("silence", "ada", "retraining")]
    early = store.actions.silence(MODEL, 500, 600, "ada", "x", 300)
    assert store.actions.unsilence(early["id"], "ada", "", 310)["state"] == "expired"


def test_pages_of_silences_lose_none_that_were_made_at_once(store):
    made = {store.actions.silence(MODEL, 100, 200, "ada", f"r{i}", 50)["id"] for i in range(7)}
    seen, after = [], None
    while not seen or after is not None:
        rows, after = store.actions.list_silences(60, limit=3, after=after)
        seen += [r["id"] for r in rows]
    assert len(seen) == 7 and set(seen) == made


def test_a_silence_names_labels_that_alerts_have(store):
    with pytest.raises(ValueError, match="'modle' is no label of any alert; did you mean 'model'"):
        store.actions.silence({"modle": "credit"}, 100, 200, "ada", "r", 50, known={"region"})
    assert store.actions.silence({"region": "eu"}, 100, 200, "ada", "r", 50, known={"region"})["state"] == "pending"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"matchers": {}}, "must match something"),
        ({"matchers": {"subject": []}}, "no pattern"),
        ({"matchers": {"two words": "x"}}, "no label's name"),
        ({"matchers": {f"l{i}": "x" for i in range(21)}}, "at most 20"),
        ({"ends_ms": 100}, "end after it starts"),
        ({"ends_ms": 10**15}, "366 days"),
        ({"author": ""}, "author is missing"),
        ({"reason": " "}, "reason is missing"),
        ({"reason": "x" * 1001}, "at most 1000"),
        ({"starts_ms": 0, "ends_ms": 40}, "over already"),
    ],
)
def test_a_silence_that_cannot_be_is_refused(store, changes, words):
    given = {"matchers": MODEL, "starts_ms": 100, "ends_ms": 200, "author": "ada", "reason": "r", "now_ms": 50, **changes}
    with pytest.raises(ValueError, match=words):
        store.actions.silence(**given)
    assert store.actions.list_silences(0) == store.actions.audit() == ([], None)
    with pytest.raises(UnknownSilence):
        store.actions.unsilence("none", "ada", "", 1)


def test_the_trail_is_paged_and_old_entries_retire(store):
    for i in range(5):
        store.actions.silence(MODEL, 100, 200 + i, "ada", f"r{i}", 50 + i)
    first, following = store.actions.audit(limit=2)
    rest, last = store.actions.audit(after=following, limit=9)
    assert last is None and [r["reason"] for r in [*first, *rest]] == ["r4", "r3", "r2", "r1", "r0"]
    store.retire(1_000_000, panes_ms=1, windows_ms=1000, dead_letters_ms=1)
    assert store.actions.audit() == store.actions.list_silences(0) == ([], None)


def test_what_was_kept_back_is_told_with_its_reason(store):
    written(store)
    store.outbox.mark_skipped(f"key-{ALERT}", "cooldown", 100)
    (sent,) = store.actions.alert_detail(ALERT, 200)["sent"]
    assert (sent["state"], sent["error"]) == ("skipped", "cooldown") and store.outbox.waiting(10**13) == []


def test_a_channels_rows_are_claimed_alone(store):
    written(store)
    with store.publishing("credit") as tx:
        tx.enqueue([OutboxRow(f"mail-{i}", "mail", f"m{i}", f"a{i}", "{}", 21) for i in range(3)])
    assert sorted(store.outbox.waiting(100)) == ["mail", "slack"]
    assert [row.channel for row in store.outbox.claim_due(100, 2, 1000, "mail")] == ["mail", "mail"]
    assert [row.key for row in store.outbox.claim_due(100, 9, 1000)] == [f"key-{ALERT}", "mail-2"]


def test_two_couriers_share_a_receivers_pace_and_neither_overwrites_the_others_state(store):
    assert [store.outbox.take_turn("slack", 1000, 250) for _ in range(3)] == [1000, 1250, 1500]
    store.outbox.rest("slack", 9000)
    store.outbox.rest("slack", 5000)
    assert store.outbox.take_turn("slack", 2000, 250) == 9000 and store.outbox.take_turn("slack", 20_000, 250) == 20_000
    assert store.outbox.load_channel_state("slack") is None
    assert store.outbox.save_channel_state("slack", b"1", None) and not store.outbox.save_channel_state("slack", b"2", None)
    assert store.outbox.save_channel_state("slack", b"2", b"1") and not store.outbox.save_channel_state("slack", b"3", b"1")
    assert store.outbox.load_channel_state("slack") == b"2"


def test_an_alert_that_moves_twice_in_one_window_is_kept_as_it_is_in_the_end(store):
    rows = []
    for status, value in (("firing", 0.4), ("resolved", None)):
        rows.append(
            {**dict.fromkeys(ALERT_COLUMNS), "alert": ALERT, "model": "credit", "rule": "drift", "status": status, "value": value}
        )
    rows.append({**rows[0], "alert": "other", "rule": 'a\tb\n\\N"', "reference": None})
    with store.publishing("credit") as tx:
        tx.write_alerts(rows)
        tx.write_alerts([{**rows[2], "status": "pending"}])
    assert {r["alert"]: (r["status"], r["value"]) for r in store.alerts()} == {ALERT: ("resolved", None), "other": ("pending", 0.4)}
    history = store.actions.alert_detail(ALERT, 1)["history"]
    assert [(r["status"], r["value"]) for r in history] == [("resolved", None), ("firing", 0.4)]
    assert store.actions.alert_detail("other", 1)["alert"]["rule"] == 'a\tb\n\\N"'
