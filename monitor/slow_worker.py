"""The child process of slow detectors: jobs on standard input, their scores as JSON on standard output.

Jobs whose detectors need the same packages share a child: importing them takes longer than most jobs.

It runs with limits on memory and CPU time that it sets on itself, without the parent's environment, store or secrets.
What goes wrong in it is its own end: the parent tells the reason.

    [{"scores": [[subject, name, value, rows, evidence], ...]}   or   {"error": "..."}, ...]
"""

from __future__ import annotations

import importlib.util
import json
import math
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors import frame
from detectors.catalogue import Catalogue
from detectors.columns import Columns, Schema
from detectors.sample import RowSample
from detectors.score import Score

if TYPE_CHECKING:
    from detectors.dle import LossModel


@dataclass(frozen=True, slots=True)
class Job:
    """What a slow detector sees: a window's sample, the reference's, and what the reference fitted."""

    detector: str
    options: dict[str, Any]
    schema: Schema
    reference_name: str
    rows: int  # of the window, of which the sample is a part
    window: Columns
    reference: Columns | None
    truth: list[Any]  # labels of the reference's sample, [] where it had none
    fit: bytes
    labels: list[Any] = field(default_factory=list)  # of the window's sample, None where none came yet; [] where none are wanted

    def to_bytes(self, window: bytes, reference: bytes) -> bytes:
        """window and reference: samples as RowSample.to_bytes made them."""
        s = self.schema
        known = [
            s.numeric,
            s.categorical,
            s.numbers,
            s.task,
            s.positive_label,
            s.parts.get("sample", {}),
            s.vectors,
            s.classes,
            s.kinds,
        ]
        head = [self.detector, self.options, known, self.reference_name, self.rows, self.truth, self.labels]
        return frame.join([json.dumps(head).encode(), window, reference, self.fit])

    @staticmethod
    def from_bytes(data: bytes) -> Job:
        head, window, reference, fit = frame.split(data)
        detector, options, known, name, rows, truth, labels = json.loads(head)
        numeric, categorical, numbers, task, positive, sample, vectors, classes, kinds = known
        schema = Schema(
            tuple(numeric), tuple(categorical), task, positive, numbers=tuple(numbers), parts={"sample": sample},
            vectors=vectors, classes=tuple(classes), kinds=kinds,
        )  # fmt: skip
        kept = RowSample.from_bytes(window, schema).kept
        if kept is None:
            raise ValueError("the window kept no sample of rows")
        other = RowSample.from_bytes(reference, schema).kept if reference else None
        return Job(detector, options, schema, name, rows, kept, other, truth, fit, labels)


def domain_classifier(job: Job) -> list[Score]:
    """Whether the window's rows can be told from the reference's; and performance from rows weighted by it."""
    from detectors.domain import compare
    from detectors.estimated import CALIBRATION_LIMIT
    from detectors.weighted import score_weighted

    if job.reference is None:
        raise ValueError("the reference holds no sample of rows: build it anew, with `sample` in the config")
    found = compare(job.reference, job.window)
    rows, name = job.window.rows, job.reference_name
    evidence: dict[str, object] = {"null_mean": round(found.null_mean, 4), "null_std": round(found.null_std, 4)}
    out = [
        Score("multivariate", "domain_auc", found.auc, rows, name, evidence),
        Score("multivariate", "domain_auc_p", found.p, rows, name, {**evidence, "effect": found.auc - 0.5}),
    ]
    if job.schema.task == "binary" and job.truth and job.schema.positive_label is not None:
        positive, limit = job.schema.positive_label, float(job.options.get("limit", CALIBRATION_LIMIT))
        out += score_weighted(job.reference, job.truth, job.window, found.weights, positive, job.rows, name, limit)
    return out


def direct_loss(job: Job) -> list[Score]:
    """Estimated error of a regression model (DLE), with a band for the window's rows and those of the sample."""
    from detectors.dle import LOSSES, LossModel, estimate_losses, usual_losses, window_errors
    from detectors.estimated import with_bands
    from detectors.estimated_value import SUBJECT

    model = LossModel.from_bytes(job.fit)
    rows, name = job.rows, job.reference_name
    error = [] if math.isnan(model.off) else [Score(SUBJECT, "calibration_error", model.off, model.rows, name)]
    if why := model.reason or _unseen(model, job.window):
        reason: dict[str, object] = {"reason": why}
        return [*error, *(Score(SUBJECT, metric, math.nan, rows, name, reason) for metric in (*LOSSES, "rmse"))]
    found = estimate_losses(model, job.window)
    values = {name: value for name, (value, _) in found.items()}
    spread = window_errors(model, values, rows)
    errors = {metric: math.hypot(spread.get(metric, 0.0), sampled) for metric, (_, sampled) in found.items()}
    return [*error, *with_bands(values, errors, rows, name, {}, math.inf, usual=usual_losses(model, found))]


def _unseen(model: LossModel, window: Columns) -> str:
    """Why the window's sample does not hold what the model of the error reads, "" where it does."""
    lacking = [f for f in (*model.numeric, *model.categories) if f not in window.numeric and f not in window.categorical]
    if lacking:
        return f"the sample holds no {', '.join(lacking)}, which the model of the error reads: build the reference anew"
    return "" if np.isfinite(window.score).any() else "the sample holds no prediction"


def text_drift(job: Job) -> list[Score]:
    """The drift of texts as Evidently scores it by default."""
    from monitor.evidently_texts import score_texts

    return score_texts(job.window, job.reference, job.options["features"], job.reference_name)


def formulas(job: Job) -> list[Score]:
    """Scores of the model's formula profile that take long."""
    from detectors.formulas.scores import slow_formula_scores

    if job.reference is None:
        raise ValueError("the reference holds no sample of rows: build it anew, with `profile` in the config")
    rows = int(job.options["reference_rows"]), job.rows
    return slow_formula_scores(job.options["tool"], job.reference, job.window, rows, job.reference_name, job.options["scores"])


def evidently(job: Job) -> list[Score]:
    """Metrics of Evidently, by name."""
    from monitor.evidently_data import Samples
    from monitor.evidently_job import score_metrics

    items = Catalogue.from_bytes(job.fit) if job.fit else None
    samples = Samples(job.schema, (job.window, job.reference), (job.labels, job.truth), items=items)
    return score_metrics(samples, job.options["metrics"], job.reference_name, job.options.get("descriptors"))


def report(job: Job) -> list[Score]:
    """Evidently's report as HTML, written to options["out"]."""
    from monitor.evidently_job import write_report

    left_out = write_report(job.schema, job.window, job.reference, job.options["out"])
    return [Score("report", "left_out", len(left_out), job.window.rows, evidence=dict(left_out))]


# name -> function, and the packages that it needs
DETECTORS: dict[str, tuple[Callable[[Job], list[Score]], tuple[str, ...]]] = {
    "domain_classifier": (domain_classifier, ("sklearn",)),
    "dle": (direct_loss, ("lightgbm",)),
    "text_drift": (text_drift, ("evidently",)),
    "formulas": (formulas, ("scipy",)),
    "evidently": (evidently, ("evidently",)),
    "report": (report, ("evidently",)),
}
EXTRAS = {"lightgbm": "driftd[estimate]"}  # of those that do not come with driftd

OVER_MEMORY = "needs more memory than slow.memory allows"
NO_MEMORY = ("failed to map segment", "Cannot allocate memory")  # how the loader of shared objects says it


def limit(memory_bytes: int, cpu_seconds: int) -> None:
    """Bound this process; beyond it allocations fail, or the kernel ends it."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(data: bytes) -> dict[str, Any]:
    """A job's answer. Whatever a detector raises becomes its reason."""
    try:
        job = Job.from_bytes(data)
        function, needs = DETECTORS[job.detector]
        for package in needs:
            if importlib.util.find_spec(package) is None:
                return {"error": f"{package} is not installed: pip install '{EXTRAS.get(package, 'driftd')}'"}
        scores = function(job)
    except MemoryError:
        return {"error": OVER_MEMORY}
    except Exception as error:  # noqa: BLE001  a detector may fail in any way, and must not end anything but itself
        if any(words in str(error) for words in NO_MEMORY):
            return {"error": OVER_MEMORY}
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
    return {"scores": [[s.subject, s.name, s.value if math.isfinite(s.value) else None, s.rows, s.evidence] for s in scores]}


def main() -> None:
    import scipy.special  # noqa: F401  its BLAS, loaded under a limit that is too small, asks for memory again and again for ever

    limit(int(sys.argv[1]), int(sys.argv[2]))
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # what libraries print is no answer
    out.write(json.dumps([run(job) for job in frame.split(sys.stdin.buffer.read())], default=str).encode())
    out.flush()


if __name__ == "__main__":
    main()
