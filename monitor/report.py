"""`driftd report`: an Evidently report of a window's sample of rows, made in a process of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from detectors.sample import PART, merged
from monitor.baseline import LEARNING, Baseline
from monitor.config import Config
from monitor.model import Model
from monitor.panes import Pane
from monitor.runtime import build_models
from monitor.samples import panes_of, window_at
from monitor.slow import SlowRunner, limits_of, whole_sample
from monitor.slow_worker import Job
from monitor.store.schema import model_state


def make_report(cfg: Config, store: Any, name: str, at: str, version: str | None, out: str | None) -> str:
    """A line that says what was written. at: a time in the window, or "latest".

    Raises ValueError where there is no such window, or no sample of it; RuntimeError where the report failed.
    """
    known = {m.name: m for m in cfg.models}
    if name not in known:
        raise ValueError(f"--model {name}: the config has {', '.join(known)}")
    model = build_models(cfg, store)[name]
    start = window_at(store, name, at)
    inputs = panes_of(store, model, start)
    if version is not None:
        inputs.groups = {group: summary for group, summary in inputs.groups.items() if group[0] == version}
    sample, begun = whole_sample(inputs), datetime.fromtimestamp(start / 1000.0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if sample is None or sample.kept is None:
        keep = known[name].sample
        why = "the model keeps no sample of rows; write sample: {rows: 1000, keep: 1d}"
        if keep is not None:
            why = "its sample of rows is gone (sample.keep), was never kept, or it had no rows of that version"
        raise ValueError(f"{name}, window {begun}: {why}")
    name_of, rows, against = _reference(store, model, inputs, start)
    path = Path(out or f"{name}-{begun.replace(':', '')}.html").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    job = Job("report", {"out": str(path)}, model.schema, name_of, inputs.rows, sample.kept, None, [], b"")
    (answer,) = SlowRunner(store, limits_of(cfg)).run(job.to_bytes(sample.to_bytes(), rows))
    if "error" in answer:
        raise RuntimeError(f"{name}, window {begun}: no report: {answer['error']}")
    left_out = "".join(f"; without {column}: {why}" for column, why in answer["scores"][0][4].items())
    return f"{path}: {sample.rows} rows of {inputs.rows}, against {against}{left_out}"


def _reference(store: Any, model: Model, inputs: Pane, start_ms: int) -> tuple[str, bytes, str]:
    """The name of what the window is compared with, its sample of rows as bytes (none: b""), and both in words."""
    profile = model.profile_named(inputs.profile)
    if profile is not None:
        kept = profile.extras.get(PART, b"")
        none = "no sample of rows: the reference was built before `sample` was in the config"
        return profile.name, kept, f"a sample of reference {profile.name}" if kept else none
    c = model_state.c
    stored = store.rows(select(c.blob).where(c.model == model.name, c.name == "baseline"))
    learned = Baseline(model.first_windows, model.min_rows)
    if stored:
        learned = Baseline.from_bytes(bytes(stored[0]["blob"]), model.first_windows, model.min_rows)
    name = learned.name(start_ms)
    if name == LEARNING:
        return name, b"", "no rows: it is one of the windows that the reference is learned from"
    samples = (whole_sample(panes_of(store, model, other)) for other in sorted(learned.windows))
    joined = merged(sample for sample in samples if sample is not None)
    if joined is None or joined.kept is None:
        return name, b"", f"no rows: those of {name} are gone (sample.keep)"
    return name, joined.to_bytes(), f"{joined.rows} rows of {name}"
