"""What the config says about stream detectors: known ones, with options that they take, for a task that has errors."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from detectors.stream import STREAM_DETECTORS
from detectors.trace import ERROR_TASKS
from monitor.config.lines import Path


def concept_problems(model: dict[str, Any], path: Path) -> Iterator[tuple[Path, str, str]]:
    """(path, what is wrong, what to do) of a model's section `concept`, which may be broken elsewhere."""
    concept, task = model.get("concept"), model.get("task", "none")
    detectors = concept.get("detectors") if isinstance(concept, dict) else None
    if not isinstance(detectors, list | dict) or not detectors:
        return
    place = (*path, "concept", "detectors")
    if task not in ERROR_TASKS:
        yield place, f"a model of task {task} has no stream of errors", f"allowed for: {', '.join(ERROR_TASKS)}"
        return
    for key, name in enumerate(detectors) if isinstance(detectors, list) else ((n, n) for n in detectors):
        kind = STREAM_DETECTORS.get(name) if isinstance(name, str) else None
        if kind is None:
            close = get_close_matches(str(name), STREAM_DETECTORS, n=1)
            fix = f"did you mean {close[0]!r}? " if close else ""
            yield (*place, key), f"there is no detector {name!r}", f"{fix}allowed: {', '.join(STREAM_DETECTORS)}"
            continue
        if kind.binary and task == "regression":
            fit = ", ".join(n for n, d in STREAM_DETECTORS.items() if not d.binary)
            yield (*place, key), f"{name} reads right and wrong, not the errors of a regression", f"allowed: {fit}"
        options = detectors[name] if isinstance(detectors, dict) else None
        if isinstance(options, dict):
            yield from _options(kind, options, (*place, key))


def _options(kind: Any, options: dict[str, Any], place: Path) -> Iterator[tuple[Path, str, str]]:
    known = {n: p.default for n, p in inspect.signature(kind).parameters.items()}
    listed = ", ".join(f"{n} ({default})" for n, default in known.items())
    strange = [name for name in options if name not in known]
    for name in strange:
        yield (*place, name), f"{kind.name} has no option {name!r}", f"allowed: {listed}"
    if not strange and all(isinstance(v, int | float) for v in options.values()):
        try:
            kind(**options)
        except ValueError as error:
            yield place, str(error), f"defaults: {listed}"
