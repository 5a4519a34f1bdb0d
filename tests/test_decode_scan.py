"""The scanner in C: what it takes it reads as the exact path does, and it takes nothing that one refuses."""

from __future__ import annotations

import json
import os
import random
import string
import struct
import threading

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.decode import scan
from monitor.decode.ids import hash_texts
from monitor.decode.native import NativeDecoder
from monitor.decode.scan import ID, NUMBER, OTHER, TEXT, TIME, EventScanner, LabelScanner, Plan, _Reader
from monitor.decode.settings import DecodeSettings
from monitor.decode.values import Refused, time_ms
from monitor.events import Decoded
from tests.test_decode import NOW, SETTINGS, event, flat, raw

if not scan.AVAILABLE and not os.environ.get("CI"):
    pytest.skip("monitor/decode/_scan was not built", allow_module_level=True)

HARD_NUMBERS = (
    "0.1", "1e23", "8.41E+21", "9007199254740993", "2.2250738585072011e-308", "2.2250738585072014e-308", "1.7976931348623157e308",
    "1.7976931348623159e308", "4.9e-324", "123456789012345678", "1234567890123456789", "0.000001234567890123456789", "6.02214076e23",
    "5e-324", "1e-400", "1e400", "-0", "-0.0", "-0e5", "0e99", "1E5", "1e+05", "00", "01", "1.", ".5", "+1", "-", "1e", "1e+", "0x1",
    "9223372036854775807", "9223372036854775808", "18446744073709551616", "0.3", "2.5e-1", "7.2057594037927933e16", "1_0", "Infinity",
    "NaN", "-Infinity", "1.0e", "0.0000000000000000000000000000000000001", "8.5e-15", "3.4028234664e38", "99999999999999999999.5",
)  # fmt: skip


@pytest.fixture(scope="module")
def numbers():
    plan = Plan()
    plan.add(NUMBER, "x", required=True)
    return _Reader(plan, SETTINGS)


def read_number(reader, text):
    found = reader.read([b'{"x":' + text.encode() + b"}"])
    return float(found.numbers["x"][0]) if found.taken[0] else None


def bits(value):
    return struct.pack("<d", value)


def test_the_scanner_was_built():
    assert scan.AVAILABLE


@pytest.mark.parametrize("text", HARD_NUMBERS)
def test_a_hard_number_is_read_exactly_or_left(numbers, text):
    found = read_number(numbers, text)
    try:
        json.loads(text, parse_constant=lambda name: 1 / 0)
    except (ValueError, ZeroDivisionError):
        assert found is None
        return
    assert found is None or bits(found) == bits(float(text))


@settings(max_examples=1500, deadline=None)
@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(2**50, 2**56).map(lambda n: n / 2**4)
    | st.integers(2**50, 2**54).map(lambda n: n / 2**16)
)
@example(900719925474.8125)
@example(4503599627370497.5)
def test_what_python_writes_is_read_back_to_the_last_bit(numbers, value):
    found = read_number(numbers, repr(value))
    if found is None:  # subnormal numbers are rare and left
        assert abs(value) < 2.3e-308
    else:
        assert bits(found) == bits(value)


@settings(max_examples=1500, deadline=None)
@given(st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_any_number_is_rounded_as_python_rounds_it_or_left(numbers, text):
    found = read_number(numbers, text)
    assert found is None or bits(found) == bits(float(text))


def test_common_numbers_are_not_left(numbers):
    rng = random.Random(1)  # noqa: S311
    for _ in range(5000):
        value = rng.choice(
            [rng.random(), rng.gauss(0, 1e6), rng.lognormvariate(0, 8), float(rng.randrange(10**15)), rng.random() / 1e9]
        )
        assert bits(read_number(numbers, repr(value))) == bits(value)


@pytest.fixture(scope="module")
def times():
    plan = Plan()
    plan.add(TIME, "x", required=True)
    return _Reader(plan, SETTINGS)


@settings(max_examples=800, deadline=None)
@given(
    st.datetimes().map(lambda d: d.isoformat()) | st.from_regex(r"[0-2][0-9]{3}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,7})?", fullmatch=True),
    st.sampled_from(["", "Z", "+00:00", "-00:00", "+05:30", "-23:59", "+24:00", "+01", "z", "+0100", " ", "+01:60", "+01:00:30"]),
)  # fmt: skip
@example("2024-02-29T23:59:59.999999", "Z")
@example("2023-02-29T00:00:00", "Z")
@example("1900-02-29T00:00:00", "Z")
@example("2000-02-29T24:00:00", "")
@example("1969-12-31T23:59:59.9999", "Z")
def test_a_time_is_what_python_reads_or_left(times, text, zone):
    found = times.read([json.dumps({"x": text + zone}).encode()])
    if not found.taken[0]:
        return
    ms = int(found.times["x"][0])
    try:
        wanted = time_ms(text + zone, "x")
    except Refused:
        wanted = None
    assert ms == wanted or (wanted is None and not 0 <= ms < 253_402_300_800_000)


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123Z", "2026-07-01 12:30:15.5+02:00", "2026-01-01T00:00:00"]
)
def test_common_times_are_not_left(times, text):
    found = times.read([json.dumps({"x": text}).encode()])
    assert found.taken[0] and int(found.times["x"][0]) == time_ms(text, "x")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=70), max_size=40
    ),
    st.booleans(),
)
def test_ids_and_texts_of_any_script_are_those_of_python(texts, ascii_only):
    plan = Plan()
    plan.add(ID, "i", required=True)
    plan.add(TEXT, "t")
    reader = _Reader(plan, SETTINGS)
    found = reader.read([json.dumps({"i": t, "t": t}, ensure_ascii=ascii_only).encode() for t in texts])
    assert found.taken.all()
    assert found.texts["t"].to_list() == texts and found.ids.tolist() == hash_texts(texts).tolist()
    assert len(set(found.texts["t"].values)) == len(found.texts["t"].values)


def both(values, role="events", cfg=SETTINGS):
    """What the scanner took of messages, and what the exact path makes of the same ones."""
    scanner = (EventScanner if role == "events" else LabelScanner)(cfg)
    whole = raw(values)
    batches, left = scanner.read(whole.values, whole.offsets, whole.record_ts_ms)
    taken = [i for i in range(len(values)) if i not in set(left.tolist())]
    plain = NativeDecoder(cfg, scanner=False)
    exact = []
    for i in taken:  # one at a time: the exact path alone
        exact.append(getattr(plain, role)(raw([values[i]], first=i)))
    merged = Decoded(
        [b for d in exact for b in d.events], [b for d in exact for b in d.labels], [letter for d in exact for letter in d.dead]
    )
    return flat(Decoded(**{role: batches})), flat(merged), taken


SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=True) | st.text(max_size=12)
    | st.sampled_from(["ok", "", "event_id", "label", "credit", "price", NOW, str(NOW), "2026-01-01T00:00:00Z", 1e5, -0.0, "\ud83d\ude00", "\0", "é\"\\"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=5
)
PLACES = [
    ("event_id",), ("ts",), ("model",), ("version",), ("latency_ms",), ("status",), ("features",), ("prediction",), ("segment",), ("other",),
    ("features", "income"), ("features", "age"), ("features", "region"), ("features", "zz"), ("prediction", "label"),
    ("prediction", "score"), ("prediction", "value"), ("segment", "channel"), ("label",), ("label_ts",),
]  # fmt: skip


def write(value, style):
    text = json.dumps(
        value, ensure_ascii=style & 1 == 0, indent=1 if style & 2 else None, separators=(",", ":") if style & 4 else None
    )
    return text.encode("utf-8", "surrogatepass")


@st.composite
def documents(draw):
    made = event(event_id=draw(st.text(string.ascii_letters, min_size=1, max_size=20)))
    made["features"] = dict(made["features"])
    for place in draw(st.lists(st.sampled_from(PLACES), max_size=3)):
        value = draw(VALUES)
        if len(place) == 1:
            made[place[0]] = value
        elif isinstance(made.get(place[0]), dict):
            made[place[0]] = {**made[place[0]], place[1]: value}
    keys = draw(st.permutations(list(made)))
    return write({k: made[k] for k in keys}, draw(st.integers(0, 7)))


@st.composite
def damaged(draw):
    """A message with a few bytes cut, repeated or replaced."""
    data = bytearray(draw(documents()))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data) - 1))
        how = draw(st.sampled_from(["cut", "put", "twice", "end"]))
        if how == "cut":
            del data[at]
        elif how == "put":
            data[at] = draw(st.sampled_from(b'{}[]",:\\\n\t 019.eE+-tfnu\x00\x1f\x7f\x80\xc3\xff'))
        elif how == "twice":
            data[at:at] = data[at : at + draw(st.integers(1, 30))]
        else:
            del data[at:]
        if not data:
            break
    return bytes(data)


@settings(max_examples=600, deadline=None)
@given(st.lists(documents() | damaged(), min_size=1, max_size=4))
@example([write(event(), 0).replace(b'"ts"', b'"ts":1,"ts"')])
@example([write(event(zz={"a": 1}), 4).replace(b'"a":1', b'"a":1,"a":2,"label":1')])
@example([write(event(), 0) + b"{}"])
@example([b"\xef\xbb\xbf" + write(event(), 0)])
@example([write(event(features=None, segment=None), 0)])
def test_an_event_that_is_taken_is_the_one_that_the_exact_path_reads(values):
    fast, exact, _ = both(values)
    assert fast == exact


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({"event_id": SCALARS, "label": SCALARS}, optional={"label_ts": SCALARS, "x": VALUES}),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 7),
)
@example(
    [
        {"event_id": "a", "label": 0.25},
        {"event_id": "b", "label": 3.0},
        {"event_id": "c", "label": "0.25"},
        {"event_id": 5, "label": 1e30},
    ],
    0,
)
def test_a_label_that_is_taken_is_the_one_that_the_exact_path_reads(items, style):
    fast, exact, _ = both([write(item, style) for item in items], "labels")
    assert fast == exact


def test_plain_messages_are_taken_whatever_the_order_and_style():
    values = [
        write(made, style)
        for style in range(8)
        for made in (
            event(), dict(reversed(event().items())), event(version=...), event(features={}, extra={"a": [1, {"b": None}]}),
            event(model="price", features={"size": 3}, prediction={"value": 17.25}), event(status=500), event(status=None),
            event(ts="2026-01-01T00:00:00.250Z"), event(segment=...), event(event_id=17), event(features={"region": "çà\n"}),
        )
    ]  # fmt: skip
    fast, exact, taken = both(values)
    assert len(taken) == len(values) and fast == exact


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"[]", b"{}", b"null", write(event(), 0)[:-1], write([event()], 0), write({"events": [event()]}, 0),
        write(event(model="nobody"), 0), write(event(ts=NOW + 10**9), 0), write(event(event_id=""), 0), write(event(event_id="x" * 513), 0),
        write(event(event_id=True), 0), write(event(version="v" * 1001), 0), write(event(pad="x" * 10_000), 0),
        write(event(latency_ms=float("nan")), 0), write(event(features={"income": "5"}), 0), write(event(features=[1]), 0),
        write(event(status=1.5), 0), write(event(pad=json.loads("[" * 40 + "]" * 40)), 0), write(event(version=0.5), 0),
        write(event(), 0).replace(b"5100.5", b"1e999"), write(event(), 0).replace(b"MA", b"\xff"), write(event(), 0).replace(b"MA", b"\\ud800"),
        write(event(), 0).replace(b"MA", b"\\u0000"), write(event(), 0).replace(b"MA", b"\\x"), write(event(), 0).replace(b'"age"', b'"income"'),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left(value):
    *_, taken = both([value, write(event(), 0)])
    assert taken == [1]


def test_a_value_that_the_plan_cannot_place_leaves_its_message():
    plan = Plan()
    plan.section("p")
    plan.add(ID, "event_id", required=True)
    plan.add(OTHER, "probabilities", "p")
    reader = _Reader(plan, SETTINGS)
    values = [
        b'{"event_id":"a","p":{"probabilities":{"x":1}}}',
        b'{"event_id":"a","p":{"probabilities":null}}',
        b'{"event_id":"a","p":{}}',
    ]
    assert reader.read(values).taken.tolist() == [False, True, True]


def test_a_row_that_is_left_leaves_nothing_behind():
    broken = write(event(version="nobody's", features={"region": "nowhere", "income": 1.0}), 0)[:-1]
    fast, exact, taken = both([broken, write(event(version=...), 0)])
    assert taken == [1] and fast == exact


def test_a_buffer_of_the_wrong_size_is_refused():
    reader = _Reader(Plan(fields=[(0, b"x", NUMBER, 0, True)]), DecodeSettings())
    empty = np.empty(0)
    with pytest.raises(ValueError, match="expected"):
        reader._scanners[0].scan([b"{}"], 0, 1, 100, empty, empty, empty, empty, empty, empty)


def test_one_scanner_serves_one_thread_at_a_time():
    reader = EventScanner(SETTINGS)
    values = [write(event(event_id=f"{i}"), 4) for i in range(20_000)]
    whole = raw(values)
    answers = []

    def work():
        try:
            answers.append(len(reader.read(whole.values, whole.offsets, whole.record_ts_ms)[0][0].ts_ms))
        except RuntimeError as error:
            answers.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {20_000, "one scanner, one thread"} and 20_000 in answers


def test_two_threads_read_what_one_reads(monkeypatch):
    values = [
        write(event(event_id=f"{i}", version=f"v{i % 7}", features={"region": f"r{i % 1000}", "income": i / 3}), 4 + (i % 3 == 0))
        if i % 50
        else b"{broken"
        for i in range(901)
    ]
    whole = raw(values)
    monkeypatch.setattr(scan, "SHARED_ROWS", 16)
    monkeypatch.setattr(scan, "CPUS", 1)
    alone, left_alone = EventScanner(SETTINGS).read(whole.values, whole.offsets, whole.record_ts_ms)
    monkeypatch.setattr(scan, "CPUS", 2)
    shared, left = EventScanner(SETTINGS).read(whole.values, whole.offsets, whole.record_ts_ms)
    assert left.tolist() == left_alone.tolist() == list(range(0, 901, 50))
    assert flat(Decoded(events=shared)) == flat(Decoded(events=alone))
    for column in (shared[0].version, shared[0].columns.categorical["region"]):
        assert len(set(column.values)) == len(column.values)


def test_two_threads_read_labels_with_fractions_as_one_does(monkeypatch):
    values = [write({"event_id": f"{i}", "label": [i / 8, f"l{i % 5}", i % 3, True][i % 4]}, 0) for i in range(500)]
    monkeypatch.setattr(scan, "SHARED_ROWS", 16)
    monkeypatch.setattr(scan, "CPUS", 2)
    fast, exact, taken = both(values, "labels")
    assert len(taken) == 500 and fast == exact
