"""Slow detectors: what looks at a window's sample of rows, in a process of its own, off the data loop.

    1. find published windows with a sample that lack results, newest first
    2. run the wanted detectors in children with limits on time and memory, one for those that need the same packages (slow_worker.py)
    3. in one transaction under the model's lock: keep the results as the state `slow:START`, and mark the window stale

The publisher then makes the window anew, with these scores among the others: judged, alerted and revised as they are.
Results belong to the rows that they were computed from: where a straggling pane has changed the window since, they are
left out and computed again; and those that rest on labels are where other labels have come. A detector that fails or takes too long leaves a score without a value, and the reason;
it is not tried again before the window changes, and holds nothing up.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from detectors import frame
from detectors.catalogue import PART as ITEMS
from detectors.dle import PART as LOSS
from detectors.fits import TRUTH
from detectors.formulas import FORMULAS
from detectors.profile import Profile
from detectors.sample import PART, RowSample, merged
from monitor.config import Config
from monitor.config.model import ModelSettings
from monitor.evidently_names import is_labelled
from monitor.logs import log_event
from monitor.model import Model
from monitor.panes import Pane
from monitor.samples import panes_of
from monitor.slow_scores import STATE
from monitor.slow_worker import DETECTORS, Job
from monitor.stale import mark
from monitor.store.sample_labels import labels_of
from monitor.store.schema import model_state, window

logger = logging.getLogger("driftd.slow")
ALL_WINDOWS = 1_000_000
NO_LIMIT_MS = 2**62
VERSIONS = 5  # of a window that are looked at, those with the most rows
# what a failed detector's reason stands beside
FAILED = {
    "domain_classifier": ("multivariate", "domain_auc"), "dle": ("estimated_performance", "mae"),
    "text_drift": ("features", "evidently.drift_score"),
}  # fmt: skip
# no secret of the daemon reaches the child
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "DO_NOT_TRACK": "1", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "1",
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one detector's run, and how many windows of a model one round takes."""

    timeout_s: float = 120.0
    memory_bytes: int = 2_000_000_000
    windows: int = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """One slow detector that a model's config asks for."""

    detector: str
    options: dict[str, Any]
    labelled: bool = False  # it needs the labels of the rows


def limits_of(cfg: Config) -> Limits:
    return Limits(cfg.slow.timeout_ms / 1000.0, cfg.slow.memory, cfg.slow.windows)


def wanted_of(settings: ModelSettings, profile: Profile | None) -> list[Wanted]:
    """The slow detectors of a model; none where it keeps no samples."""
    if settings.sample is None or profile is None:
        return []
    out = []
    if settings.multivariate is not None and settings.multivariate.domain_classifier:
        out.append(Wanted("domain_classifier", {"limit": settings.estimate.calibration_error}))
    if LOSS in profile.extras and settings.estimate.enabled:
        out.append(Wanted("dle", {}))
    if settings.profile == "evidently" and settings.sample.texts:
        out.append(Wanted("text_drift", {"features": sorted(settings.sample.texts)}))
    tool = settings.profile
    if tool is not None and (slow := sorted(name for name in settings.profile_scores if FORMULAS[tool].asked[name].slow)):
        out.append(Wanted("formulas", {"tool": tool, "scores": slow, "reference_rows": profile.rows}))
    if settings.evidently:
        for labelled in (False, True):
            metrics = [m.model_dump() for m in settings.evidently if is_labelled(m.metric, m.options) is labelled]
            if metrics:
                described = [] if labelled else [d.model_dump() for d in settings.evidently_descriptors]
                out.append(Wanted("evidently", {"metrics": metrics} | ({"descriptors": described} if described else {}), labelled))
    return out


class SlowRunner:
    """Runs rounds of slow detectors; one child at a time. close() ends the running one."""

    def __init__(self, store: Any, limits: Limits) -> None:
        self._store, self._limits = store, limits
        self._closed = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        self._closed.set()
        child = self._child
        if child is not None:
            child.kill()

    def round(self, model: Model, wanted: list[Wanted]) -> int:
        """Look at the windows of one model that lack results; returns how many got them. Raises StoreError, StoreUnavailable."""
        done = 0
        for start, key in self._due(model, wanted):
            if self._closed.is_set():
                break
            results = self._look(model, wanted, start)
            if results is None or self._closed.is_set():
                continue
            done += self._keep(model.name, start, {"key": key, **results})
        return done

    def _due(self, model: Model, wanted: list[Wanted]) -> list[tuple[int, str]]:
        """Starts of windows without results for their present rows, newest first."""
        if not wanted:
            return []
        c = window.c
        newest = (
            select(c.start_ms, c.rows, c.inputs)
            .where(c.model == model.name)
            .order_by(c.start_ms.desc())
            .limit(self._limits.windows)
        )
        s = model_state.c
        states = select(s.name, s.blob).where(s.model == model.name, s.name.startswith(STATE, autoescape=True))
        known = {r["name"]: json.loads(r["blob"])["key"] for r in self._store.rows(states)}
        keys = {r["start_ms"]: _key(wanted, r["rows"], r["inputs"]) for r in self._store.rows(newest) if r["rows"]}
        return [(start, key) for start, key in keys.items() if known.get(f"{STATE}{start}") != key]

    def _look(self, model: Model, wanted: list[Wanted], start_ms: int) -> dict[str, Any] | None:
        """The results of all detectors on one window; None where it has no sample any more."""
        inputs = panes_of(self._store, model, start_ms)
        profile = model.profiles.get(inputs.profile)
        rows = inputs.rows
        samples = _samples(inputs)
        if profile is None or not samples:
            return None
        out: list[list[Any]] = []
        labelled_rows = self._labelled(model, start_ms)
        for version, sample, count in samples:
            for entry, answer in self._answers(model, profile, sample, count, wanted):
                if "error" in answer:
                    log_event(
                        logger, logging.WARNING, "slow_failed", model=model.name, window_start_ms=start_ms,
                        detector=entry.detector, reason=answer["error"],
                    )  # fmt: skip
                    subject, name = _failed(entry)
                    answer = {"scores": [[subject, name, None, count, {"reason": f"{entry.detector}: {answer['error']}"}]]}
                out += [[version, *score, entry.labelled] for score in answer["scores"]]
        return {"rows": rows, "labelled_rows": labelled_rows, "reference": profile.name, "scores": out}

    def _answers(
        self, model: Model, profile: Profile, sample: RowSample, rows: int, wanted: list[Wanted]
    ) -> Iterator[tuple[Wanted, dict[str, Any]]]:
        """What each detector found in one sample. Those that need the same packages run in one child; where it ends without an answer,
        each in one of its own, so that one that hangs or needs too much takes no other one with it."""
        together: dict[tuple[str, ...], list[Wanted]] = {}
        for entry in wanted:
            together.setdefault(DETECTORS[entry.detector][1], []).append(entry)
        for entries in together.values():
            labels = [self._labels(model, sample) if entry.labelled else [] for entry in entries]
            jobs = [job_of(model, profile, sample, rows, entry, of) for entry, of in zip(entries, labels, strict=True)]
            answers = self.run(*jobs)
            if len(jobs) > 1 and all("error" in answer for answer in answers) and not self._closed.is_set():
                answers = [self.run(job)[0] for job in jobs]
            yield from zip(entries, answers, strict=True)

    def _labelled(self, model: Model, start_ms: int) -> int:
        c = window.c
        query = select(c.labelled_rows).where(c.model == model.name, c.start_ms == start_ms)
        return next((int(r["labelled_rows"]) for r in self._store.rows(query)), 0)

    def _labels(self, model: Model, sample: RowSample) -> list[Any]:
        assert sample.kept is not None and sample.kept.ids is not None
        wait_ms = self._store.label_wait_ms.get(model.name, NO_LIMIT_MS)
        return labels_of(self._store, sample.kept.ids, wait_ms, model.schema)

    def run(self, *jobs: bytes) -> list[dict[str, Any]]:
        """Jobs in a child of their own, with the time of all of them: their answers, or {"error": reason}."""
        limits = self._limits
        timeout_s = limits.timeout_s * len(jobs)
        command = [sys.executable, "-m", "monitor.slow_worker", str(limits.memory_bytes), str(math.ceil(timeout_s))]
        root = str(Path(__file__).resolve().parents[1])
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root,
            env={**ENVIRONMENT, "PYTHONPATH": root, "HOME": os.devnull},
        )  # fmt: skip
        self._child = child
        try:
            out, _ = child.communicate(frame.join(list(jobs)), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            return [{"error": f"took longer than slow.timeout ({limits.timeout_s:g} s)"}] * len(jobs)
        finally:
            self._child = None
        if child.returncode != 0:
            reason = f"its process ended with {child.returncode}: it used more than slow.memory or slow.timeout allows"
            return [{"error": reason}] * len(jobs)
        found: list[dict[str, Any]] = json.loads(out)
        return found

    def _keep(self, model: str, start_ms: int, results: dict[str, Any]) -> bool:
        """Write results; False where another replica holds the model: it is tried again in the next round."""
        with self._store.publishing(model) as tx:
            if tx is None:
                return False
            tx.save_state(f"{STATE}{start_ms}", json.dumps(results).encode())
            mark(tx, [start_ms])
            there = {w.start_ms for w in tx.windows(0)}
            for name in tx.state_names(STATE):
                if int(name.removeprefix(STATE)) not in there:
                    tx.drop_state(name)
        return True


def _key(wanted: list[Wanted], rows: int, inputs: str) -> str:
    """What results depend on: the detectors, the window's rows, which only ever grow, and its labels, where one needs them."""
    told = json.dumps([[w.detector, w.options] for w in wanted], sort_keys=True)
    if any(w.labelled for w in wanted):
        told += inputs
    return f"{rows}:{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def _failed(entry: Wanted) -> tuple[str, str]:
    if entry.detector == "formulas":
        return "features", f"{entry.options['tool']}.{entry.options['scores'][0]}"
    return FAILED.get(entry.detector, ("evidently", "evidently_failed"))


def _samples(inputs: Pane) -> list[tuple[str, RowSample, int]]:
    """(version, sample, rows) of the versions with the most rows."""
    found = [
        (version, summary.parts[PART], summary.rows)
        for (version, segment), summary in sorted(inputs.groups.items())
        if segment == "" and PART in summary.parts and summary.parts[PART].rows
    ]
    return sorted(found, key=lambda item: (-item[2], item[0]))[:VERSIONS]


def job_of(
    model: Model, profile: Profile, sample: RowSample, rows: int, wanted: Wanted, labels: Sequence[Any] = ()
) -> bytes:  # fmt: skip
    """A job for the child. sample: of the window, which has so many rows. labels: of the sample's, where they are wanted."""
    truth = json.loads(profile.extras[TRUTH]) if TRUTH in profile.extras else []
    fit = profile.extras.get({"dle": LOSS, "evidently": ITEMS}.get(wanted.detector, ""), b"")
    kept = sample.kept
    assert kept is not None
    job = Job(wanted.detector, wanted.options, model.schema, profile.name, rows, kept, None, truth, fit, list(labels))
    return job.to_bytes(sample.to_bytes(), profile.extras.get(PART, b""))


def whole_sample(inputs: Pane) -> RowSample | None:
    """The sample of all versions together."""
    return merged(sample for _, sample, _ in _samples(inputs))


def slow_rounds(cfg: Config, store: Any) -> Callable[[Model], int]:
    """A function that runs all slow detectors of a model on all its windows, and returns how many got results."""
    limits = replace(limits_of(cfg), windows=ALL_WINDOWS)
    runner = SlowRunner(store, limits)
    settings = {m.name: m for m in cfg.models}
    return lambda model: runner.round(model, wanted_of(settings[model.name], model.profile_named(model.active_profile)))
