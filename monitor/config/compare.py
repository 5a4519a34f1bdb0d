"""What the config says of two versions that are compared: metrics that the model's task has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectors.compare import MEANS
from detectors.trace import ERROR_TASKS
from monitor.config.lines import Path
from monitor.config.suggest import nearest
from monitor.decode.settings import NUMBER_FIELDS

OF_ANY_TASK = ("latency", "error_share")
PAIRED = ("error", "accuracy")  # by ts too
METRICS = ("error", "accuracy", "value", *(name for names in MEANS.values() for name in names))  # not every task has them


def needs_labels(metric: str) -> bool:
    """Whether it is known of labelled rows alone; else it is of OF_ANY_TASK or one of the model's `numbers`."""
    return metric in METRICS


def compare_subject(champion: str, challenger: str, metric: str) -> str:
    """What the scores of a comparison are called by."""
    return f"compare:{challenger}/{champion}:{metric}"


def segment_names(model: dict[str, Any]) -> set[str]:
    """The names in a model's list `segments`, which may be broken elsewhere."""
    listed = model.get("segments")
    found = [s.get("name") if isinstance(s, dict) else s for s in (listed if isinstance(listed, list) else ())]
    return {s for s in found if isinstance(s, str)}


def request_keys(model: dict[str, Any]) -> set[str]:
    """The keys that comparisons pair by, of a list `compare` that may be broken elsewhere."""
    listed = model.get("compare")
    found = [c.get("pair_by") for c in (listed if isinstance(listed, list) else ()) if isinstance(c, dict)]
    return {key for key in found if isinstance(key, str)}


def compare_problems(model: dict[str, Any], path: Path) -> Iterator[tuple[Path, str, str]]:
    """(path, what is wrong, what to do) of a model's list `compare`, which may be broken elsewhere."""
    performance = model.get("performance")
    worth = isinstance(performance, dict) and performance.get("value")
    task, listed = model.get("task", "none"), model.get("compare")
    keys = segment_names(model)
    first: str | None = None
    subjects: dict[str, int] = {}
    for i, wanted in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(wanted, dict):
            continue
        pair_by = wanted.get("pair_by")
        if isinstance(pair_by, str):
            first = first or pair_by
            if pair_by in keys:
                fix = "send the request's id under a key that is no segment: a segment a request is none"
                yield (*path, "compare", i, "pair_by"), f"{pair_by!r} is a segment of the model", fix
            elif pair_by != first:
                yield (*path, "compare", i, "pair_by"), f"{pair_by!r} where {first!r} stands above", "write one key for all"
        metric = wanted.get("metric", "error")
        subject = compare_subject(str(wanted.get("champion")), str(wanted.get("challenger")), str(metric))
        if subject in subjects:
            problem = f"its scores would stand under {subject!r}, as those of compare[{subjects[subject]}] do"
            yield (*path, "compare", i), problem, "keep one of them: one mode for each pair of versions and metric"
        subjects.setdefault(subject, i)
        allowed = [*OF_ANY_TASK, *(["error"] if task in ERROR_TASKS else [])]
        allowed += ["accuracy", "value"] if task in ERROR_TASKS and task != "regression" else []
        allowed += MEANS.get(task, ())
        numbers = model.get("numbers")
        named = [n for n in numbers if isinstance(n, str)] if isinstance(numbers, list) else list(NUMBER_FIELDS)
        if isinstance(metric, str) and metric not in (*METRICS, *OF_ANY_TASK, *named):
            fix = f"{nearest(metric, [*allowed, *named])}; other fields of the events are metrics once the model's `numbers` name them"
            yield (*path, "compare", i, "metric"), f"there is no metric {metric!r}", fix
        elif metric in METRICS and metric not in allowed:
            yield (*path, "compare", i, "metric"), f"a model of task {task} has no {metric}", f"allowed: {', '.join(allowed)}"
        elif metric == "value" and not worth and not wanted.get("values"):
            fix = "write values: {predicted label: {true label: worth}}, or the model's performance.value"
            yield (*path, "compare", i, "metric"), "nothing says what a prediction is worth", fix
