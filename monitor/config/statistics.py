"""What a model's `statistics` says about its features and about the statistics that there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectors.profile import PREDICTION
from detectors.registry import STATISTICS
from monitor.config.lines import Path
from monitor.config.suggest import nearest

Found = Iterator[tuple[Path, str, str]]  # path, what is wrong, what to do


def statistics_problems(model: dict[str, Any], path: Path) -> Found:
    """The statistics that a model names must exist, and be there for the kind of the feature."""
    section = model.get("statistics")
    if not isinstance(section, dict):
        return
    declared = model.get("features")
    features: dict[str, Any] = declared if isinstance(declared, dict) else {}
    named = section.get("features")
    lists: list[tuple[Path, Any]] = [(("default",), section.get("default"))]
    for feature, names in named.items() if isinstance(named, dict) else ():
        lists.append((("features", feature), names))
        if features and feature not in (*features, PREDICTION):
            yield (*path, "statistics", "features", feature), f"there is no feature {feature!r}", nearest(feature, features)
    for place, names in lists:
        for i, name in enumerate(names if isinstance(names, list) else []):
            if name not in STATISTICS:
                yield (*path, "statistics", *place, i), f"there is no statistic {name!r}", nearest(str(name), STATISTICS)
                continue
            kind = features.get(str(place[1])) if len(place) > 1 else None
            wanted = "category" if kind in ("category", "boolean") else "numeric"
            if kind is not None and wanted not in STATISTICS[name].kinds:
                others = [n for n, s in STATISTICS.items() if wanted in s.kinds]
                yield (
                    (*path, "statistics", *place, i),
                    f"{name} is not for a feature of kind {kind}",
                    f"allowed: {', '.join(others)}",
                )
