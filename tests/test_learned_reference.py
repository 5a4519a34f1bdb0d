"""The reference of a model's own first windows: thin windows are put together until the rows suffice, and it is said until then."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.baseline import LEARNING, MOST_WINDOWS, Baseline
from tests.replayed import START, open_replay, replay_events, scores_of, windows_of

HOUR = 3_600_000
CONFIG = """
models:
  - name: m
    features: {x: numeric, k: category}
    segments: [s]
    window: {size: 1h, allowed_lateness: 0s}
    min_rows: 100
    reference: {first_windows: 3}
alerts: {channels: {c: {type: log}}}
"""


def events(rows, shift=lambda hour: 0.0, seed=1, segment=lambda hour: "a"):
    rng = np.random.default_rng(seed)
    return [
        {"event_id": f"{hour}-{i}", "ts": START + hour * HOUR + i, "model": "m", "segment": {"s": segment(hour)},
         "features": {"x": float(rng.normal() + shift(hour)), "k": "uv"[i % 2]}}
        for hour, n in enumerate(rows) for i in range(n)
    ]  # fmt: skip


def test_windows_of_fifty_rows_make_a_reference_together_and_a_shift_is_found(tmp_path):
    cfg, store = open_replay(tmp_path, CONFIG)
    replay_events(cfg, store, tmp_path, events([50] * 30, lambda hour: 5.0 * (hour > 25)))
    found = scores_of(store)
    assert [w["reference"] for w in windows_of(store)] == [LEARNING] * 6 + ["first_6_windows"] * 24
    for hour in range(6):
        for subject in ("x", "k"):
            drift = found[hour, "", subject, "drift"]
            assert (drift["value"], drift["level"]) == (None, "unsure")
            held = f"{50 * (hour + 1)} of 300 rows with this window, of one at most 100"
            assert (
                drift["evidence"]["reason"]
                == f"no reference yet: {held if hour < 5 else 'it is complete with this window, 300 rows'}"
            )
        assert (hour, "", "x", "js") not in found
    levels = [found[hour, "", "x", "drift"]["level"] for hour in range(6, 30)]
    assert levels[:19].count("breach") == 0 and levels[-4:] == ["breach"] * 4


def test_a_segment_that_the_learned_windows_do_not_have_says_so(tmp_path):
    cfg, store = open_replay(tmp_path, CONFIG)
    replay_events(cfg, store, tmp_path, events([100] * 5, segment=lambda hour: "b" if hour == 4 else "a"))
    found = scores_of(store)
    drift = found[4, "s=b", "x", "drift"]
    assert (drift["value"], drift["level"]) == (None, "unsure")
    assert drift["evidence"]["reason"] == "the learned reference has no rows of this segment"
    assert found[4, "", "x", "drift"]["level"] == "ok"


def _window(rows: int) -> Any:
    return SimpleNamespace(rows=rows, groups={})


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_it_is_a_function_of_the_windows_whatever_their_order(rows, random):
    order = list(range(len(rows)))
    in_order, shuffled = Baseline(3, 100), Baseline(3, 100)
    for at in order:
        in_order.learn(_window(rows[at]), at)
    random.shuffle(order)
    for at in order:
        shuffled.learn(_window(rows[at]), at)
    assert in_order.rows == shuffled.rows and list(in_order.windows) == sorted(shuffled.windows)
    again = Baseline.from_bytes(shuffled.to_bytes(), 3, 100)
    assert (again.rows, again.learned_name) == (shuffled.rows, shuffled.learned_name)
    taken = [rows[at] for at in in_order.windows]
    assert taken == rows[: len(taken)], "the earliest"
    if all(n >= 100 for n in rows):
        assert len(taken) == min(3, len(rows)), "N windows where each holds enough"
    if in_order.complete:
        assert sum(taken) >= 300
        assert not Baseline.complete.fget(_without_last(in_order)), "no more than needed"


def _without_last(known: Baseline) -> Baseline:
    out = Baseline(known.wanted, known.least, dict(known.windows), dict(known.rows))
    last = max(out.windows)
    del out.windows[last], out.rows[last]
    return out


def test_it_does_not_wait_for_ever():
    known = Baseline(5, 200)
    for at in range(MOST_WINDOWS + 10):
        known.learn(_window(1), at)
    assert known.complete and len(known.windows) == MOST_WINDOWS
