"""`driftd report`: an Evidently report of a window's sample of rows, made in a process of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitor.config import Config
from monitor.runtime import build_models
from monitor.samples import panes_of, window_at
from monitor.slow import SlowRunner, Wanted, job_of, limits_of, whole_sample


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
    sample, begun = whole_sample(inputs), datetime.fromtimestamp(start / 1000.0, UTC).strftime("%Y-%m-%dT%H%M%SZ")
    if sample is None or sample.kept is None:
        keep = known[name].sample
        why = "the model keeps no sample of rows; write sample: {rows: 1000, keep: 1d}"
        if keep is not None:
            why = "its sample of rows is gone (sample.keep), was never kept, or it had no rows of that version"
        raise ValueError(f"{name}, window {begun}: {why}")
    profile = model.profile_named(inputs.profile)
    if profile is None:
        raise ValueError(f"{name}, window {begun}: it was counted without a built reference; see `driftd reference build`")
    path = Path(out or f"{name}-{begun}.html").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    job = job_of(model, profile, sample, inputs.rows, Wanted("report", {"out": str(path)}))
    (answer,) = SlowRunner(store, limits_of(cfg)).run(job)
    if "error" in answer:
        raise RuntimeError(f"{name}, window {begun}: no report: {answer['error']}")
    rows = "no sample of rows: the reference was built before `sample` was in the config"
    if "sample" in profile.extras:
        rows = f"a sample of reference {profile.name}"
    left_out = "".join(f"; without {column}: {why}" for column, why in answer["scores"][0][4].items())
    return f"{path}: {sample.rows} rows of {inputs.rows}, against {rows}{left_out}"
