"""Latency, failures and other numbers of versions in shadow mode are compared request by request, before any label."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from scipy.stats import ttest_rel

from detectors.columns import Columns, DictColumn, Schema
from detectors.compare import KEEP_WAITING, PROMOTE, ROLL_BACK, Piece, Sums, compare, number_sums, paired_requests, unpaired
from detectors.moments import Moments
from detectors.number_moments import NumberMoments
from detectors.request_numbers import RequestNumbers
from monitor.config import ConfigError, parse_config
from monitor.events import PartitionKey, RawBatch
from monitor.parts import parts_of
from monitor.replay import ReplayBatch, replay
from monitor.runtime import build_engine, build_models
from monitor.store.schema import score
from tests.faults.config import differences, results
from tests.replayed import START, open_replay

SCHEMA = Schema((), (), numbers=("cost_usd", "n"), parts={
    "request_numbers": {"pane_ms": 60_000, "requests": 5000, "numbers": ["cost_usd", "error_share", "latency", "n"]},
    "number_moments": {"numbers": ["n"]},
})  # fmt: skip


def events(keys, ts=None, **numbers):
    n = len(keys)
    nothing = np.full(n, np.nan)
    return Columns(
        rows=n, numeric={}, categorical={}, score=nothing, label=DictColumn.missing(n), latency_ms=numbers.pop("latency", nothing),
        error=numbers.pop("error", np.zeros(n, dtype=bool)), numbers=numbers, ids=None,
        ts_ms=np.full(n, 1) if ts is None else ts, requests=keys,
    )  # fmt: skip


def table(*rows):
    out = RequestNumbers.empty(SCHEMA)
    for some in rows:
        out.add(some)
    return out


def keys_of(rng, n):
    return rng.integers(1, 2**64, n, dtype=np.uint64)


def test_the_differences_of_latencies_are_scipys_paired_t():
    rng = np.random.default_rng(1)
    keys, size = keys_of(rng, 3000), rng.lognormal(3, 0.8, 3000)
    a, b = size * rng.lognormal(0, 0.1, 3000), size * rng.lognormal(0.02, 0.1, 3000)
    order = rng.permutation(3000)[:2800]  # in another order, and not all of them
    piece = paired_requests(table(events(keys, latency=a)), table(events(keys[order], latency=b[order])), 0, False, "latency")
    assert piece.champion == piece.challenger == piece.unlike == 2800
    error = np.sqrt(piece.challenger_off / piece.challenger_freedom / 2800)
    assert piece.effect / piece.weight / error == pytest.approx(ttest_rel(b[order], a[order]).statistic, rel=1e-6)
    assert piece.champion_sum == pytest.approx(a[order].sum(), rel=1e-6)


def test_what_lacks_the_number_or_the_request_is_no_pair_and_odd_values_end_nothing():
    keys = np.arange(1, 301, dtype=np.uint64) << np.uint64(40)
    latency = np.full(300, 5.0)
    latency[:3] = np.nan, np.inf, -np.inf
    without = keys.copy()
    without[3:10] = 0
    one = table(events(keys, latency=latency, cost_usd=np.full(300, 1e-9)))
    other = table(events(without, latency=np.full(300, 1e300), cost_usd=np.full(300, 3e-9), error=keys > keys[99]))
    assert paired_requests(one, other, 0, False, "latency").champion == 290
    money = paired_requests(one, other, 0, False, "cost_usd")
    assert money.champion == 293 and money.effect == pytest.approx(293 * 2e-9, rel=0.01)
    assert paired_requests(one, other, 0, False, "error_share").challenger_sum == 200
    assert paired_requests(one, other, 0, False, "n") == Piece(), "no event had it"
    assert paired_requests(one, other, 0, False, "kept later") == Piece()


def test_repeated_answers_are_summed_exactly_in_any_order():
    rng = np.random.default_rng(2)
    keys = np.repeat(keys_of(rng, 40), 9)
    rows = events(keys, latency=rng.lognormal(3, 2, 360), cost_usd=rng.gamma(1, 1e-4, 360))
    whole = table(rows)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(360)
        halves = table(rows.take(order[:100])), table(rows.take(order[100:]))
        halves[1].merge(RequestNumbers.from_bytes(halves[0].to_bytes(), SCHEMA))
        assert halves[1].to_bytes() == whole.to_bytes()


def drawn(rng, shape, kind):
    """The champion's and the challenger's number of the same requests, of one law; both hang on the request."""
    size = rng.lognormal(3, 1, shape)
    if kind == "latency":
        return size * rng.lognormal(0, 0.1, shape), size * rng.lognormal(0, 0.1, shape)
    if kind == "with timeouts":
        return tuple(np.where(rng.random(shape) < 0.003, 30_000.0, size * rng.lognormal(0, 0.2, shape)) for _ in range(2))
    return tuple(np.round(size) + 100 * (rng.random(shape) < 0.01) for _ in range(2))  # tokens, which seldom differ


def looks(a, b, looked):
    """Pieces of windows, pair by pair, of arrays of shape (windows, rows); and the windows' own sums."""
    for first, second in zip(a, b, strict=True):
        gap = second - first
        off = gap - gap.mean()
        n = float(len(gap))
        yield looked(n, first, second, gap, off)


def pair_piece(n, first, second, gap, off):
    return Piece(n, n, first.sum(), second.sum(), gap.sum(), n, 0, 0, 0, float(off @ off), n - 1, n, float(np.count_nonzero(gap)))


def apart_piece(n, first, second, gap, off):
    return unpaired(*(Sums(n, float(v.sum()), float(v @ v)) for v in (first, second)))


def first_answer(pieces, min_effect=0.0):
    """(the answer, after how many windows)."""
    total, i = Piece(), 0
    for i, piece in enumerate(pieces, 1):
        total += piece
        answer = compare(total, 0.05, min_effect, True, 200, False).answer
        if answer != KEEP_WAITING:
            return answer, i
    return KEEP_WAITING, i


@pytest.mark.parametrize("allowed", [0.0, 1.0], ids=["equal", "worse by what it may be"])
@pytest.mark.parametrize("kind", ["latency", "with timeouts", "tokens"])
def test_equal_versions_looked_at_after_every_window_keep_their_alpha(kind, allowed):
    """400 comparisons, 100 looks at each: no more than 5 % may ever get an answer."""
    rng, runs = np.random.default_rng(3), 400
    wrong = 0
    for _ in range(runs):
        a, b = drawn(rng, (100, 40), kind)
        wrong += first_answer(looks(a, b + allowed, pair_piece), -allowed)[0] != KEEP_WAITING
    assert wrong / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs), wrong


def test_pairs_of_correlated_latencies_decide_in_fewer_rows():
    rng, worse = np.random.default_rng(4), 1.05
    together, apart = [], []
    for _ in range(20):
        a, b = drawn(rng, (150, 40), "latency")
        together.append(first_answer(looks(a, b * worse, pair_piece)))
        apart.append(first_answer(looks(a, b * worse, apart_piece)))
    assert {answer for answer, _ in together} == {ROLL_BACK}
    assert np.median([n for _, n in together]) < 0.25 * np.median([n for _, n in apart])
    a, b = drawn(rng, (150, 40), "latency")
    assert first_answer(looks(a, b / worse, pair_piece))[0] == PROMOTE


def test_a_difference_that_is_the_same_in_every_pair_gets_its_answer():
    tokens = np.random.default_rng(5).integers(20, 900, (30, 100)).astype(float)
    assert first_answer(looks(tokens, tokens + 3, pair_piece))[0] == ROLL_BACK


def test_numbers_of_versions_that_got_different_rows_may_be_negative():
    rng = np.random.default_rng(6)
    one, other = NumberMoments.empty(SCHEMA), NumberMoments.empty(SCHEMA)
    values = rng.normal(-50, 40, 4000)
    for part, some in ((one, values[:1500]), (other, values[1500:])):
        part.add(events(keys_of(rng, len(some)), n=np.append(some[:-1], np.nan)))
    one.merge(NumberMoments.from_bytes(other.to_bytes(), SCHEMA))
    sums, kept = number_sums(one.numbers["n"]), np.delete(values, [1499, 3999])
    assert (sums.rows, sums.total, sums.squares) == pytest.approx((3998, kept.sum(), (kept**2).sum()))
    assert number_sums(Moments()) == Sums(0.0, 0.0, 0.0) and unpaired(number_sums(Moments()), sums) == Piece()


CONFIG = """
models:
  - name: m
    features: {}
    segments: [channel]
    window: {size: 2m, slide: 1m, allowed_lateness: 1m}
    min_rows: 50
    thresholds: {}
    compare:
      - {champion: "1", challenger: "2", metric: latency, mode: shadow, pair_by: request_id}
      - {champion: "1", challenger: "2", metric: error_share, mode: shadow, pair_by: request_id, min_effect: -0.05}
      - {champion: "1", challenger: "2", metric: tokens_out, mode: shadow, pair_by: request_id}
      - {champion: "1", challenger: "2", metric: cost_usd}
"""


def traffic(rows=400):
    """Of each version a partition: the challenger answers up to 40 s later, is 6 % slower, and writes less."""
    rng = np.random.default_rng(9)
    out = {"1": [], "2": []}
    for i in range(rows):
        size = rng.lognormal(3, 1)
        for version, slower, fewer in (("1", 1.0, 0), ("2", 1.06, 4)):
            behind = int(rng.integers(0, 40_000)) * (version == "2")
            out[version].append(
                {"event_id": f"{version}-{i}", "ts": START + i * 1000 + behind, "model": "m", "version": version, "features": {},
                 "segment": {"channel": "web", "request_id": f"r{i}"}, "prediction": {"value": 1.0},
                 "latency_ms": size * slower * rng.lognormal(0, 0.05), "tokens_out": round(size) + 9 - fewer,
                 "cost_usd": 1e-5 * (size + 9 - fewer), "status": "error" if i % 50 == 0 else "ok"}
            )  # fmt: skip
    for rows_of in out.values():
        rows_of.sort(key=lambda e: e["ts"])
    return out


def run(folder, cuts):
    """The events of both partitions in polls of so many messages of each."""
    folder.mkdir()
    cfg, store = open_replay(folder, CONFIG)
    pieces, done = [], {"1": 0, "2": 0}
    sent = traffic()
    for cut in cuts:
        for partition, version in enumerate(sent):
            at = done[version]
            rows = sent[version][at : at + cut]
            done[version] += len(rows)
            raw = RawBatch(
                PartitionKey("replay", "events", partition), np.arange(at, done[version]),
                np.full(len(rows), START + 86_400_000), [orjson.dumps(e) for e in rows], done[version],
            )  # fmt: skip
            pieces.append(ReplayBatch("events", raw))
    replay(pieces, build_engine(cfg, build_models(cfg, store), ("replay",)), store, 1)
    found = [dict(row) for row in store.rows(score.select().order_by(score.c.window_start_ms))]
    store.close()
    return results(f"sqlite:///{folder}/r.db"), found


def test_the_daemon_compares_serving_by_request_and_a_replay_equals_what_was_lived(tmp_path):
    lived, found = run(tmp_path / "lived", [7] * 58)
    replayed, _ = run(tmp_path / "replayed", [400])
    assert differences(lived, replayed) == []
    last = {
        (row["subject"], row["score"]): row for row in found if row["subject"].startswith("compare:") and row["value"] is not None
    }
    slower = last["compare:2/1:latency", "roll_back"]
    why = orjson.loads(slower["evidence"])
    assert (slower["value"], slower["level"]) == (1.0, "breach") and why["paired"] == "by request"
    assert why["champion"]["rows"] == 400 and 0 < why["interval"][0]
    assert last["compare:2/1:tokens_out", "promote"]["value"] == 1.0
    assert (
        last["compare:2/1:error_share", "compare_effect"]["value"] == 0.0
        and last["compare:2/1:error_share", "promote"]["value"] == 1.0
    )
    apart = last["compare:2/1:cost_usd", "compare_effect"]
    assert last["compare:2/1:cost_usd", "promote"]["value"] == 0.0 and -6e-5 < apart["value"] < 0.0
    assert {row["segment"] for row in found} == {"", "channel=web"}, "no request became a segment"


def test_parts_are_kept_for_what_is_asked_and_a_metric_that_is_none_is_refused():
    parts = parts_of(parse_config(CONFIG, "c").models[0])
    assert parts["request_numbers"] == {"pane_ms": 60_000, "requests": 5000, "numbers": ["error_share", "latency", "tokens_out"]}
    assert parts["number_moments"] == {"numbers": ["cost_usd"]} and "request_errors" not in parts
    text = "models: [{name: m, numbers: [queue_ms], compare: [{champion: '1', challenger: '2', metric: %s}]}]"
    with pytest.raises(
        ConfigError, match="there is no metric 'tokens_out'.*did you mean|there is no metric 'tokens_out'"
    ) as refused:
        parse_config(text % "tokens_out", "c")
    assert "queue_ms" in str(refused.value) and "`numbers` name them" in str(refused.value)
    with pytest.raises(ConfigError, match="write pair_by or mode: canary"):
        parse_config(text % "latency, mode: shadow", "c")
    assert parse_config(text % "queue_ms", "c")
