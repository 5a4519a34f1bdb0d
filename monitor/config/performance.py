"""What the config says of a model's predictions and of the user's own metrics, against the rest of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectors.columns import TASKS
from detectors.score_names import SCORE_NAMES
from monitor.config.lines import Path

Found = Iterator[tuple[Path, str, str]]  # path, what is wrong, what to do

EVENT_FIELDS = ("event_id", "ts", "model", "version", "features", "prediction", "latency_ms", "status", "segment", "embedding",
                "label", "label_ts")  # fmt: skip


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def custom_names(model: Any) -> list[str]:
    """The names of a model's own metrics, of a config that may be broken elsewhere."""
    performance = model.get("performance") if isinstance(model, dict) else None
    entries = _list(performance.get("custom")) if isinstance(performance, dict) else []
    return [str(entry["name"]) for entry in entries if isinstance(entry, dict) and "name" in entry]


def output_problems(model: dict[str, Any], path: Path) -> Found:
    """What a prediction holds: classes, quantiles, further numbers."""
    task = model.get("task")
    for key, tasks, example in (
        ("classes", ("multiclass", "multilabel"), "[cat, dog, bird]"),
        ("quantiles", ("quantile",), "[0.1, 0.5, 0.9]"),
    ):
        given = _list(model.get(key))
        if given and task in TASKS and task not in tasks:
            yield (*path, key), f"means nothing for task {task}", f"remove it, or write task: {tasks[0]}"
        elif not given and task == tasks[-1]:
            yield path, f"a {task} model needs {key}", f"write {key}: {example}"
        if len({str(v) for v in given}) != len(given):
            yield (*path, key), "names one of them twice", "name each once"
    for i, name in enumerate(_list(model.get("numbers"))):
        if name in EVENT_FIELDS:
            yield (*path, "numbers", i), f"{name!r} is a field that every event has", "remove it"


def performance_problems(model: dict[str, Any], path: Path) -> Found:
    """The value of predictions, and functions of the user's own."""
    performance, task = model.get("performance"), model.get("task", "none")
    if not isinstance(performance, dict):
        return
    value = performance.get("value")
    if isinstance(value, dict) and value:
        place = (*path, "performance", "value")
        if task in TASKS and task not in ("binary", "multiclass"):
            yield place, f"means nothing for task {task}: it needs a predicted and a true class", "remove it"
        classes = [str(c) for c in _list(model.get("classes"))]
        named = {str(k) for k in value} | {str(t) for row in value.values() if isinstance(row, dict) for t in row}
        for name in sorted(named - set(classes)) if classes else ():
            yield place, f"there is no class {name!r}", f"the model's classes are {', '.join(classes)}"
    if performance.get("custom") and task == "none":
        yield (*path, "performance", "custom"), "a model without a task has no outcomes", "write task: binary, for example"
    seen: set[str] = set()
    for i, name in enumerate(custom_names(model)):
        mine = {name, f"{name}_low", f"{name}_high"}  # it and its interval
        if name in SCORE_NAMES or mine & seen:
            taken = "is a score of driftd's own" if name in SCORE_NAMES else "is taken by an earlier entry"
            yield (*path, "performance", "custom", i, "name"), f"{name!r} {taken}", "give it another name"
        seen |= mine
