"""What a model's `statistics` says about its features and about the statistics that there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectors.kinds import schema_columns
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
    numeric, categorical, _ = schema_columns({f: k for f, k in features.items() if isinstance(k, str)})
    named = section.get("features")
    lists: list[tuple[Path, Any]] = [(("default",), section.get("default"))]
    for feature, names in named.items() if isinstance(named, dict) else ():
        lists.append((("features", feature), names))
        if features and feature not in (*numeric, *categorical, PREDICTION):
            known = [*numeric, *categorical]
            yield (*path, "statistics", "features", feature), f"there is no feature {feature!r}", nearest(feature, known)
    for place, names in lists:
        for i, name in enumerate(names if isinstance(names, list) else []):
            if name not in STATISTICS:
                yield (*path, "statistics", *place, i), f"there is no statistic {name!r}", nearest(str(name), STATISTICS)
                continue
            feature = str(place[1]) if len(place) > 1 else ""
            wanted = "category" if feature in categorical else "numeric"
            if feature in (*numeric, *categorical) and wanted not in STATISTICS[name].kinds:
                others = [n for n, s in STATISTICS.items() if wanted in s.kinds]
                yield (
                    (*path, "statistics", *place, i),
                    f"{name} is not for a feature of kind {wanted}",
                    f"allowed: {', '.join(others)}",
                )
