"""`driftd report`: an Evidently report of a window's sample of rows, made in a process of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitor.config import Config
from monitor.runtime import build_models
from monitor.samples import panes_of
from monitor.slow import SlowRunner, Wanted, job_of, limits_of, whole_sample


def make_report(cfg: Config, store: Any, name: str, at: str, version: str | None, out: str | None) -> str:
    """A line that says what was written. at: a time in the window, or "latest".

    Raises ValueError where there is no such window, or no sample of it; RuntimeError where the report failed.
    """
    known = {m.name: m for m in cfg.models}
    if name not in known:
        raise ValueError(f"--model {name}: the config has {', '.join(known)}")
    model = build_models(cfg, store)[name]
    start = _start_of(store, name, at)
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
    answer = SlowRunner(store, limits_of(cfg)).run(job)
    if "error" in answer:
        raise RuntimeError(f"{name}, window {begun}: no report: {answer['error']}")
    rows = "no sample of rows: the reference was built before `sample` was in the config"
    if "sample" in profile.extras:
        rows = f"a sample of reference {profile.name}"
    return f"{path}: {sample.rows} rows of {inputs.rows}, against {rows}"


def _start_of(store: Any, model: str, at: str) -> int:
    windows = store.windows(model)
    if not windows:
        raise ValueError(f"--model {model}: no window is published yet")
    if at == "latest":
        return int(windows[-1]["start_ms"])
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise ValueError(f"--window {at}: write a time, as in 2026-01-01T00:00:00Z, or latest") from error
    ms = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    found = [w for w in windows if w["start_ms"] <= ms < w["end_ms"]]
    if not found:
        first, last = (datetime.fromtimestamp(w["start_ms"] / 1000.0, UTC).isoformat() for w in (windows[0], windows[-1]))
        raise ValueError(f"--window {at}: no published window holds that time; windows begin from {first} to {last}")
    return int(found[-1]["start_ms"])
