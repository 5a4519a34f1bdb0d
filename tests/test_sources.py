"""One contract for both Kafka clients on a real broker; the HTTP queue and the followed file."""

from __future__ import annotations

import signal
import time
import uuid

import numpy as np
import pytest

from monitor.config.model import SourceSettings
from monitor.sources import SourceError, kafka_source
from monitor.sources.file_follow import FileSource
from monitor.sources.http_queue import HttpSource, QueueFull
from monitor.sources.order import batch_of
from tests.servers.kafka import PASSWORD
from tests.servers.ports import end, free_port, wait_for

OPTIONS = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}


class Listener:
    """Remembers what it is told; gives out offsets as the store would."""

    def __init__(self, offsets=None):
        self.offsets = offsets or {}
        self.owned, self.revoked, self.lost = set(), [], []
        self.read = {}

    def on_assign(self, source, keys):
        self.owned |= set(keys)
        return {k: self.offsets.get((k.topic, k.partition), -1) for k in keys}

    def on_revoke(self, keys):
        self.revoked += keys
        self.owned -= set(keys)

    def on_lost(self, keys):
        self.lost += keys
        self.owned -= set(keys)

    def take(self, polled):
        for role, raw in polled:
            self.role = role
            seen = self.read.setdefault((raw.key.topic, raw.key.partition), [])
            seen += zip(raw.offsets.tolist(), raw.values, strict=True)
            assert raw.next_offset == int(raw.offsets[-1]) + 1 and len(raw.record_ts_ms) == raw.rows


@pytest.fixture(params=["confluent", "kafka-python"])
def client(request):
    return request.param


@pytest.fixture
def topic(kafka):
    name = f"t-{uuid.uuid4().hex[:8]}"
    kafka.create(name, 3)
    return name


def fill(kafka, topic, first, count, partitions=3):
    producer = kafka.producer()
    for i in range(first, first + count):
        producer.produce(topic, b"m%d" % i, partition=i % partitions, timestamp=1_700_000_000_000 + i)
    producer.produce(topic, None, partition=0)
    producer.flush(20)


def make(kafka, topic, client, group=None, start="earliest", **options):
    return kafka_source(
        SourceSettings(
            name="s", type="kafka", topics=[topic], bootstrap_servers=kafka.bootstrap, group=group or topic, client=client,
            start=start, options={**OPTIONS, **options},
        )
    )  # fmt: skip


def read(source, listener, count, seconds=30):
    end = time.monotonic() + seconds
    while sum(map(len, listener.read.values())) < count and time.monotonic() < end:
        listener.take(source.poll(1000, 100))
    return sum(map(len, listener.read.values()))


def test_everything_once_in_order_from_the_given_offsets(kafka, topic, client):
    fill(kafka, topic, 0, 300)
    source, listener = make(kafka, topic, client), Listener({(topic, 1): 40})
    source.start(listener)
    assert read(source, listener, 261) == 261
    listener.take(source.poll(1000, 300))
    for part, first in ((0, 0), (1, 40), (2, 0)):
        offsets = [o for o, _ in listener.read[topic, part]]
        assert offsets == list(range(first, 101 if part == 0 else 100))
    assert listener.read[topic, 0][-1][1] is None and listener.read[topic, 2][5][1] == b"m17"
    assert listener.role == "events"
    key = next(k for k in listener.owned if k.partition == 1)
    wait_for(lambda: source.poll(10, 100) == [] and source.caught_up(key, 100), 10, "the end of the partition")
    assert source.lag(key) == 0 and not source.caught_up(key, 101 if client == "confluent" else -1 + 10**9 * 0 + 5)
    source.commit({key: 100})
    source.close()


def test_pause_holds_messages_back_and_loses_none(kafka, topic, client):
    source, listener = make(kafka, topic, client), Listener()
    source.start(listener)
    wait_for(lambda: listener.take(source.poll(1000, 100)) or len(listener.owned) == 3, 30, "the assignment")
    source.pause_all()
    fill(kafka, topic, 0, 90)
    for _ in range(20):
        source.keep_alive(50)
    assert not any(source.caught_up(k, 0) for k in listener.owned if k.partition == 0)
    source.resume_all()
    assert read(source, listener, 91) == 91
    source.close()


def test_the_end_of_partitions_that_come_during_a_pause_is_known_after_it(kafka, topic, client):
    """Given by a rebalance while the store was away, read to the end before, and silent from then on."""
    fill(kafka, topic, 0, 30)
    source, listener = make(kafka, topic, client), Listener({(topic, 0): 11, (topic, 1): 10, (topic, 2): 10})
    source.start(listener)
    source.pause_all()
    source.resume_all()  # from inside the assignment, whose claims reach the store
    wait_for(lambda: source.keep_alive(50) or len(listener.owned) == 3, 30, "the assignment")
    for _ in range(40):
        source.keep_alive(50)
    wait_for(
        lambda: source.poll(10, 100) == [] and all(source.caught_up(k, 11 if k.partition == 0 else 10) for k in listener.owned),
        10,
        "the ends of all partitions",
    )
    source.close()


def test_partitions_that_are_given_anew_during_a_pause_are_read_after_it(kafka, topic, client):
    """The store is away, a rebalance takes them and gives them back, and it is the claims of that which reach the store again."""

    class Back(Listener):
        def on_assign(self, source, keys):
            source.resume_all()
            return super().on_assign(source, keys)

    fill(kafka, topic, 0, 90)
    source, listener = make(kafka, topic, client), Back()
    source.start(listener)
    assert read(source, listener, 91) == 91
    listener.offsets = {part: rows[-1][0] + 1 for part, rows in listener.read.items()}
    source.pause_all()
    source.keep_alive(50)
    listener.owned.clear()
    source.rejoin()
    wait_for(lambda: source.keep_alive(50) or len(listener.owned) == 3, 30, "the assignment")
    fill(kafka, topic, 90, 30)
    assert read(source, listener, 122) == 122
    source.close()


def test_a_second_member_takes_some_and_gives_them_back(kafka, topic, client):
    fill(kafka, topic, 0, 30)
    first, second = make(kafka, topic, client), make(kafka, topic, client)
    a, b = Listener(), Listener()
    first.start(a)
    assert read(first, a, 31) == 31
    second.start(b)
    end = time.monotonic() + 40
    while len(a.owned) + len(b.owned) != 3 or not b.owned:
        a.take(first.poll(100, 50))
        b.take(second.poll(100, 50))
        assert time.monotonic() < end, (a.owned, b.owned)
    assert a.owned and not a.owned & b.owned and a.revoked
    second.close()
    wait_for(lambda: a.take(first.poll(100, 100)) or len(a.owned) == 3, 40, "all partitions to come back")
    first.close()


def test_rejoin_claims_anew(kafka, topic, client):
    fill(kafka, topic, 0, 30)
    source, listener = make(kafka, topic, client), Listener()
    source.start(listener)
    assert read(source, listener, 31) == 31
    listener.owned.clear()
    listener.read.clear()
    listener.offsets = {(topic, p): 5 for p in range(3)}
    source.rejoin()
    assert read(source, listener, 16) == 16
    assert len(listener.owned) == 3 and listener.read[topic, 2][0][0] == 5
    source.close()


def test_start_latest_begins_at_the_end(kafka, topic, client):
    fill(kafka, topic, 0, 30)
    source, listener = make(kafka, topic, client, start="latest"), Listener()
    source.start(listener)
    wait_for(lambda: listener.take(source.poll(100, 100)) or len(listener.owned) == 3, 30, "the assignment")
    for _ in range(10):
        listener.take(source.poll(100, 100))
    fill(kafka, topic, 100, 3)
    assert read(source, listener, 4) == 4
    source.close()


def test_a_hole_in_the_log_is_said_not_skipped(kafka, topic, client):
    fill(kafka, topic, 0, 30)
    source, listener = make(kafka, topic, client), Listener({(topic, 2): 5000})
    source.start(listener)
    with pytest.raises(SourceError, match="no longer holds the offset"):
        read(source, listener, 10**6, seconds=30)
    source.close()


def test_an_option_that_no_client_knows_is_said(kafka, topic, client):
    with pytest.raises(SourceError, match="sources"):
        make(kafka, topic, client, **{"no.such.option": 1}).start(Listener())


def test_repeats_around_a_rebalance_are_dropped():
    from monitor.events import PartitionKey

    key = PartitionKey("s", "t", 0)
    values = [bytes([i]) for i in range(7)]
    batch = batch_of(key, [3, 4, 5, 4, 5, 6, 7], [0] * 7, values, 4)
    assert batch.offsets.tolist() == [4, 5, 6, 7] and batch.values == [values[1], values[2], values[5], values[6]]
    assert batch_of(key, [1, 2], [0, 0], values[:2], 3) is None
    assert batch_of(key, [8, 11], [0, 0], values[:2], 3).next_offset == 12


def test_the_http_queue_answers_when_durable_and_refuses_what_was_lost():
    source, listener = HttpSource("push", 3, lambda: 77, "h"), Listener()
    source.start(listener)
    first = source.submit("events", [b"1", b"2"])
    with pytest.raises(QueueFull):
        source.submit("events", [b"3", b"4"])
    [(role, raw)] = source.poll(100, 10)
    assert (role, raw.next_offset, raw.record_ts_ms.tolist()) == ("events", 2, [77, 77]) and not first.done()
    source.commit({raw.key: 1})
    assert not first.done()
    source.commit({raw.key: 2})
    assert first.result(0) == 2
    lost = source.submit("labels", [b"5"])
    source.poll(100, 10)
    source.rejoin()
    with pytest.raises(QueueFull):
        lost.result(0)
    waiting = source.submit("labels", [b"6"])
    source.close()
    with pytest.raises(QueueFull):
        waiting.result(0)
    with pytest.raises(QueueFull):
        source.submit("labels", [b"7"])


def test_a_growing_file_is_followed_by_whole_lines(tmp_path):
    path = tmp_path / "e.jsonl"
    source, listener = FileSource("f", "events", path, follow=True), Listener()
    source.start(listener)
    assert source.poll(10, 1) == []
    path.write_bytes(b'{"a":1}\n\n{"a":2}\n{"a"')
    [(_, raw)] = source.poll(10, 1)
    assert raw.values == [b'{"a":1}', b'{"a":2}'] and raw.offsets.tolist() == [0, 9] and raw.next_offset == 17
    with path.open("ab") as file:
        file.write(b":3}\n")
    [(_, raw)] = source.poll(10, 1)
    assert raw.values == [b'{"a":3}'] and raw.offsets.tolist() == [17]
    source.poll(10, 1)
    assert source.caught_up(raw.key, raw.next_offset)
    source.close()
    again, other = FileSource("f", "events", path, follow=False), Listener({("e.jsonl", 0): 9})
    again.start(other)
    assert [v for _, r in again.poll(1, 1) for v in r.values] == [b'{"a":2}']
    assert [v for _, r in again.poll(9, 1) for v in r.values] == [b'{"a":3}']
    path.write_bytes(b"{}\n")
    with pytest.raises(SourceError, match="replaced or cut short"):
        again.poll(10, 1)


def test_large_files_are_read_in_pieces(tmp_path):
    path = tmp_path / "big.jsonl"
    lines = [b'{"n":%d,"x":"%s"}' % (i, b"y" * 1000) for i in range(20_000)]
    path.write_bytes(b"\n".join(lines))
    source, listener = FileSource("f", "events", path, follow=False), Listener()
    source.start(listener)
    found = []
    for _ in range(200):
        for _, raw in source.poll(3000, 1):
            assert raw.rows <= 3000 and bool((np.diff(raw.offsets) > 0).all())
            found += raw.values
    assert found == lines


def secure(kafka, topic, client, port, **options):
    made = SourceSettings(
        name="s", type="kafka", topics=[topic], bootstrap_servers=f"127.0.0.1:{port}", group=topic, client=client, options=options
    )
    return kafka_source(made)


def test_sasl_and_tls_options_reach_the_client(kafka, topic, client, monkeypatch):
    fill(kafka, topic, 0, 30)
    monkeypatch.setenv("BROKER_PASSWORD", PASSWORD)
    sasl = {
        "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "driftd", "sasl.password_env": "BROKER_PASSWORD",
    }  # fmt: skip
    for port, options in (
        (kafka.sasl_port, sasl),
        (kafka.tls_port, {"security.protocol": "SSL", "ssl.ca.location": str(kafka.ca)}),
    ):
        source, listener = secure(kafka, topic, client, port, **options), Listener()
        source.start(listener)
        assert read(source, listener, 31) == 31
        source.close()


def test_a_wrong_password_is_said_without_it(kafka, topic, monkeypatch, caplog):
    """kafka-python does not tell it from a broker that is away: it gives up after a minute, with the same advice."""
    client = "confluent"
    monkeypatch.setenv("BROKER_PASSWORD", "canary-wrong")
    options = {
        "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "driftd", "sasl.password_env": "BROKER_PASSWORD",
    }  # fmt: skip
    with pytest.raises(SourceError) as caught:
        source = secure(kafka, topic, client, kafka.sasl_port, **options)
        source.start(Listener())
        read(source, Listener(), 1, seconds=30)
    assert "canary" not in str(caught.value) and "canary-wrong" not in caplog.text


def test_a_broker_that_goes_away_is_not_reached_until_it_is_back(kafka, topic):
    """Both clients at once: a restart of the broker takes seconds. What comes of it: tests/test_blindness.py."""
    fill(kafka, topic, 0, 30)
    nowhere = kafka_source(SourceSettings(name="n", type="kafka", topics=["t"], bootstrap_servers=f"127.0.0.1:{free_port()}"))
    sources = [make(kafka, topic, client, group=f"{topic}-{client}") for client in ("confluent", "kafka-python")]
    listeners = [Listener(), Listener()]
    nowhere.start(Listener())
    for source, listener in zip(sources, listeners, strict=True):
        source.start(listener)
        assert read(source, listener, 31) == 31

    def turned(wanted):
        """The state of all after a turn of the loop."""
        for source in sources:
            source.poll(100, 50)
            for key in source._position:  # as the loop asks of every partition
                source.caught_up(key, source._position[key])
        return [source.reached() for source in sources] == [wanted] * 2

    wait_for(lambda: turned(True), 20, "both sources")
    nowhere.poll(10, 200)
    assert not nowhere.reached()
    end(kafka.process, signal.SIGKILL)
    wait_for(lambda: turned(False), 40, "both sources to miss the broker")
    kafka.start()
    wait_for(lambda: turned(True), 60, "both sources to reach it again")
    for source in (*sources, nowhere):
        source.close()
