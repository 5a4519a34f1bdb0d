"""Digests: when they are due (APScheduler's cron as the oracle), what they say, and that replicas and restarts send one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from alerts.digest import MODELS_MOST, Digest, ModelFacts, digest_key, digest_notes, lines_of
from alerts.notification import Notification
from alerts.retraining.policy import RetrainPolicy
from alerts.retraining.request import RetrainRequest
from monitor.checkpoint import ScoreRow, WindowRow
from monitor.config import ConfigError, effective, parse_config
from monitor.digests import DigestRunner, digests_of
from monitor.store import StoreUnavailable, open_store
from monitor.store.schema import outbox

HOUR, DAY = 3_600_000, 86_400_000
T0 = int(datetime(2026, 3, 10, 8, 0, tzinfo=UTC).timestamp() * 1000)  # a Tuesday
DAILY = Digest("ops", ("chat", "mail"), 8 * 60, "UTC")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")


def ms(*when, zone="UTC"):
    return int(datetime(*when, tzinfo=ZoneInfo(zone)).timestamp() * 1000)


# hours in which no clock is moved: there the cron of APScheduler and ours must mean the same instant
@given(
    st.datetimes(datetime(2024, 1, 10), datetime(2028, 12, 1)), st.sampled_from(ZONES), st.integers(4 * 60, 23 * 60 - 1),
    st.none() | st.integers(0, 6),
)  # fmt: skip
def test_periods_end_where_the_cron_of_apscheduler_fires(now, zone, minute, weekday):
    now_ms = int(now.replace(tzinfo=UTC, microsecond=0).timestamp() * 1000)
    start, end = Digest("d", ("c",), minute, zone, weekday).period(now_ms)
    cron = CronTrigger(
        hour=minute // 60, minute=minute % 60, day_of_week="*" if weekday is None else weekday, timezone=ZoneInfo(zone)
    )
    following = cron.get_next_fire_time(None, datetime.fromtimestamp(start / 1000, UTC) + timedelta(seconds=1))
    assert following.timestamp() * 1000 == end <= now_ms
    later = cron.get_next_fire_time(None, datetime.fromtimestamp(end / 1000, UTC) + timedelta(seconds=1))
    assert later.timestamp() * 1000 > now_ms


@given(st.integers(0, 3 * 365 * 24), st.sampled_from(ZONES), st.integers(0, 24 * 60 - 1))
def test_periods_join_without_a_gap_or_an_overlap(hours, zone, minute):
    digest = Digest("d", ("c",), minute, zone)
    start, end = digest.period(T0 + hours * HOUR)
    assert digest.period(end) == (start, end) and digest.period(end - 1)[1] == start and 22 * HOUR < end - start < 26 * HOUR


def test_a_day_follows_daylight_saving():
    digest = Digest("d", ("c",), 8 * 60, "Europe/Berlin")
    start, end = digest.period(ms(2026, 3, 29, 12, zone="Europe/Berlin"))
    assert (end - start) == 23 * HOUR and end == ms(2026, 3, 29, 8, zone="Europe/Berlin")
    start, end = digest.period(ms(2026, 10, 25, 12, zone="Europe/Berlin"))
    assert (end - start) == 25 * HOUR


def test_the_models_with_most_to_say_stand_first_and_the_text_is_bounded():
    quiet = [ModelFacts(f"m{i:03d}", 24, 100, 50) for i in range(MODELS_MOST + 5)]
    loud = ModelFacts("zz", 24, 1000, 500, 7, (("income psi v3", 0.4, 0.25), ("age js", 0.2, None)), 9,
                      ("drift: income psi v3",) * 5, ("drift: age js",), 2, ("succeeded v4, helped (drift)",))  # fmt: skip
    lines = lines_of([*quiet, loud, ModelFacts("dead")])
    assert lines[0].startswith("37 models: 864 windows, 4500 rows, 50 % with labels")
    assert lines[1] == "alerts: 5 fired, 1 resolved, 2 open now; retrains: 1"
    assert lines[2] == "zz: 24 windows, 1000 rows, 50 % with labels, 7 late"
    assert lines[3] == "  bad now: income psi v3 = 0.4, limit 0.25; age js = 0.2; and 7 more"
    assert lines[4] == "  fired: drift: income psi v3; drift: income psi v3; drift: income psi v3; and 2 more"
    assert lines[6:8] == ["  retrains: succeeded v4, helped (drift)", "  open now: 2 alerts"]
    assert lines[8] == "dead: no windows: nothing came in"
    assert lines[-1] == "and 7 more models with less to say" and len(lines) < 2 + 6 * MODELS_MOST


def test_a_digest_is_a_note_with_its_own_key_for_each_channel():
    period = DAILY.period(T0 + 60_000)
    notes = dict(digest_notes(DAILY, [ModelFacts("credit", 1, 2, 1)], period, T0 + 60_000, "https://d.example/"))
    assert set(notes) == {"chat", "mail"} and len({n.key for n in notes.values()}) == 2
    note = Notification.from_json(notes["chat"].to_json())
    assert note.is_note and note.status == "digest" and note.subject == "driftd digest of ops, Tuesday 2026-03-10"
    assert note.key == digest_key("ops", T0 - DAY, "chat") and "credit: 1 window, 2 rows" in note.comment
    assert note.links == {"model": "https://d.example/"}
    weekly = Digest("w", ("chat",), 480, "UTC", 0, "risk")
    assert "team risk, week 2026-03-02 to 2026-03-09" in digest_notes(weekly, [], weekly.period(T0), T0, "")[0][1].subject


@pytest.fixture
def store(store_url):
    opened = open_store(store_url)
    opened.migrate()
    yield opened
    opened.close()


def fill(store, model="credit", start=T0 - 6 * HOUR, level="breach"):
    """Two windows, one of them with a bad score, an alert that fired and resolved, one that still fires, and a retrain."""
    with store.publishing(model) as tx:
        for i in range(2):
            at = start + i * HOUR
            scores = [
                ScoreRow(model, "3", "", at, at + HOUR, 1, subject, score, value, 500, "r", limit, lvl)
                for subject, score, value, limit, lvl in (
                    ("income", "psi", 0.5, 0.25, level), ("age", "psi", 0.2, 0.25, "ok"), ("performance", "accuracy", 0.7, 0.85, level),
                )
            ]  # fmt: skip
            tx.write_window(WindowRow(model, at, at + HOUR, 1, 500, 400, 3, "r", "h", {}, at + HOUR), scores)
        tx.write_alerts([
            alert_row(model, "a" * 16, "income", "firing", start), alert_row(model, "a" * 16, "income", "resolved", start + HOUR),
            alert_row(model, "b" * 16, "age", "firing", start + HOUR), alert_row(model, "b" * 16, "age", "firing", start + 2 * HOUR),
            alert_row(model, "c" * 16, "old", "firing", start - 3 * DAY), alert_row(model, "c" * 16, "old", "resolved", start - 2 * DAY),
        ])  # fmt: skip
    request = RetrainRequest(
        f"r-{model}", model, "3", "", "accuracy fell", "performance", "drift", "warning", "a" * 16, start, start + HOUR, start
    )
    store.retrains.propose("retrain", RetrainPolicy(mode="approve"), request, start + HOUR)


def alert_row(model, name, subject, status, at_ms):
    return {
        "alert": name, "rule": "drift", "severity": "warning", "model": model, "version": "3", "segment": "", "subject": subject,
        "score": "psi", "status": status, "reason": "x", "value": 0.4, "threshold": 0.25, "rows": 500, "window_start_ms": 10,
        "window_end_ms": 20, "since_ms": 10, "revision": 1, "at_ms": at_ms, "grp": "g", "level": "breach", "reference": "r",
        "evidence": "", "labels": "{}",
    }  # fmt: skip


def sent(store):
    return sorted(store.rows(outbox.select()), key=lambda r: r["seq"])


def test_a_digest_tells_what_the_store_holds_of_its_period(store):
    fill(store)
    assert DigestRunner(store, [(DAILY, {"credit": 0, "silent": 0})]).step(T0 + 1) == ["ops"]
    rows = sent(store)
    assert [r["channel"] for r in rows if r["grp"] == "digest:ops"] == ["chat", "mail"]
    note = Notification.from_json(rows[-1]["body"])
    lines = note.comment.splitlines()
    assert lines[0] == "2 models: 2 windows, 1000 rows, 80 % with labels"
    assert "  fired: drift: income psi v3; drift: age psi v3" in lines and "  resolved: drift: income psi v3" in lines
    assert "  bad now: income psi v3 = 0.5, limit 0.25; performance accuracy v3 = 0.7, limit 0.85" in lines
    assert "  open now: 1 alert" in lines and "silent: no windows: nothing came in" in lines
    assert any(line.startswith("  retrains: proposed") for line in lines), lines


def test_restarts_replicas_and_retention_send_one(store, store_url):
    fill(store)
    told = [(DAILY, {"credit": 0})]
    assert DigestRunner(store, told).step(T0 + 1) == ["ops"]
    again = DigestRunner(store, told)
    assert again.step(T0 + 2) == [] and again.step(T0 + 23 * HOUR) == []
    with store.engine.begin() as conn:
        conn.execute(text("DELETE FROM outbox"))  # as retention does
    assert DigestRunner(store, told).step(T0 + 3) == [] and sent(store) == []
    assert again.step(T0 + DAY) == ["ops"] and len(sent(store)) == 2


def test_two_replicas_at_once_send_one(store):
    fill(store)
    barrier, out = Barrier(2), []

    def replica():
        runner = DigestRunner(store, [(DAILY, {"credit": 0})])
        barrier.wait()
        out.extend(runner.step(T0 + 1))

    threads = [Thread(target=replica) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert out == ["ops"] and len([r for r in sent(store) if r["grp"] == "digest:ops"]) == 2


def test_after_a_downtime_only_the_newest_missed_one_is_told(store):
    fill(store, start=T0 - 10 * DAY)
    fill(store, "fraud")
    runner = DigestRunner(store, [(DAILY, {"credit": 0, "fraud": 0})])
    runner.step(T0 - 5 * DAY)
    before = len(sent(store))
    assert DigestRunner(store, [(DAILY, {"credit": 0, "fraud": 0})]).step(T0 + 5 * HOUR) == ["ops"]
    new = [Notification.from_json(r["body"]) for r in sent(store)[before:]]
    assert [n.window_start_ms for n in new] == [T0 - DAY] * 2


def test_a_new_daemon_has_nothing_to_tell_of_the_time_before_it(store):
    runner = DigestRunner(store, [(DAILY, {"credit": 0})])
    assert runner.step(T0 + 1) == [] and sent(store) == []
    fill(store, start=T0 + 2 * HOUR)
    assert runner.step(T0 + 6 * HOUR) == [] and runner.step(T0 + DAY) == ["ops"]


def test_a_window_that_closes_after_the_end_is_told_by_the_next_digest_and_by_no_other(store):
    fill(store, start=T0 - 90 * 60_000)  # windows of an hour: one is published before the end, one half an hour after
    found = []
    for day in range(3):
        facts = store.digests.facts({"credit": HOUR + 60_000}, T0 + (day - 1) * DAY, T0 + day * DAY)
        found.append(facts[0].windows)
    assert found == [1, 1, 0]


def test_a_store_that_is_away_is_asked_again(store):
    fill(store)
    runner = DigestRunner(store, [(DAILY, {"credit": 0})])
    tell, store.digests.tell = store.digests.tell, _away
    assert runner.step(T0 + 1) == []
    store.digests.tell = tell
    assert runner.step(T0 + 60_000) == ["ops"]


def _away(*_):
    raise StoreUnavailable("away")


HEAD = "models: [{name: credit, team: risk}, {name: fraud, team: risk}, {name: ads, team: growth}]\nalerts:\n"
CHANNELS = "  channels: {chat: {type: log}, pager: {type: pagerduty, routing_key_env: K}}\n"


@pytest.mark.parametrize(
    ("digest", "path", "words"),
    [
        ("{channels: [chat]}", "name", "is missing"),
        ("{name: d}", "channels", "is missing"),
        ("{name: d, channels: []}", "channels", "at least 1"),
        ("{name: d, channels: [chta]}", "channels[0]", "did you mean 'chat'?"),
        ("{name: d, channels: [pager]}", "channels[0]", "carries no digests"),
        ("{name: d, channels: [chat], every: monthly}", "every", "daily, weekly"),
        ("{name: d, channels: [chat], at: noon}", "at", "no time of day"),
        ("{name: d, channels: [chat], at: '24:00'}", "", "00:00"),
        ("{name: d, channels: [chat], day: fri}", "", "every: weekly"),
        ("{name: d, channels: [chat], every: weekly, day: friday}", "day", "fri"),
        ("{name: d, channels: [chat], timezone: Europe/Berln}", "timezone", "IANA"),
        ("{name: d, channels: [chat], team: rsk}", "team", "did you mean 'risk'?"),
        ("{name: d, channels: [chat], models: ['x*']}", "models[0]", "no model matches"),
        ("{name: d, channels: [chat], wekly: true}", "wekly", "not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_line(digest, path, words):
    with pytest.raises(ConfigError) as caught:
        parse_config(f"{HEAD}{CHANNELS}  digests:\n  - {digest}\n", "c.yaml")
    found = [(p.line, p.path, f"{p.message}; {p.fix}") for p in caught.value.problems]
    whole = "alerts.digests[0]" + (f".{path}" if path else "")
    assert any(line == 5 and at == whole and words in said for line, at, said in found), found


def test_teams_and_patterns_choose_the_models():
    cfg = parse_config(
        HEAD + CHANNELS + "  digests:\n  - {name: risk, channels: [chat], team: risk, at: 7:30, timezone: Europe/Berlin}\n"
        "  - {name: all, channels: [chat, chat], every: weekly, day: fri}\n  - {name: some, channels: [chat], models: ['a*', fraud]}\n",
        "c.yaml",
    )
    found = {d.name: (d, models) for d, models in digests_of(cfg)}
    assert [list(models) for _, models in found.values()] == [["credit", "fraud"], ["credit", "fraud", "ads"], ["fraud", "ads"]]
    assert found["risk"][1] == {"credit": cfg.models[0].window.size_ms + cfg.models[0].window.allowed_lateness_ms + 60_000} | {
        "fraud": found["risk"][1]["fraud"]
    }
    assert (found["risk"][0].minute, found["risk"][0].weekday, found["risk"][0].team) == (450, None, "risk")
    assert (found["all"][0].weekday, found["all"][0].channels) == (4, ("chat",))
    assert parse_config(effective(cfg), "again").alerts.digests == cfg.alerts.digests
