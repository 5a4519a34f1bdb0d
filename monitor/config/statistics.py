"""What a model's `statistics` says about its features and about the statistics that there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectors.formulas import FORMULAS
from detectors.kinds import schema_columns
from detectors.profile import PREDICTION
from detectors.registry import STATISTICS
from monitor.config.lines import Path
from monitor.config.suggest import nearest

Found = Iterator[tuple[Path, str, str]]  # path, what is wrong, what to do


# scores of Evidently that have no number to be equal to, and where Evidently itself computes them
ELSEWHERE = {
    "empirical_mmd": "it is drawn without a seed: write `evidently: [{metric: ValueDrift, options: {column: FEATURE, "
    "method: empirical_mmd}}]`, and Evidently computes it on the sample",
    **dict.fromkeys(
        ("perc_text_content_drift", "abs_text_content_drift"),
        "it is of the texts themselves: write `sample: {rows: 1000, texts: [FEATURE]}`, and Evidently scores them as "
        "evidently.drift_score, off the data loop",
    ),
}


def profile_problems(model: dict[str, Any], path: Path) -> Found:
    """`profile_scores` are scores of the profile's tool."""
    named, tool = model.get("profile_scores"), model.get("profile")
    if not isinstance(named, list) or not named:
        return
    if tool is None:
        yield (*path, "profile_scores"), "is of a formula profile, and the model has none", "write `profile: TOOL`"
    elif tool in FORMULAS:
        for i, name in enumerate(named):
            if name not in FORMULAS[tool].asked:
                place = (*path, "profile_scores", i)
                if name in FORMULAS[tool].names:
                    yield place, f"{name} is always computed", "take it out"
                elif tool == "evidently" and name in ELSEWHERE:
                    yield place, f"{name} is no formula", ELSEWHERE[name]
                else:
                    yield place, f"{tool} has no score {name!r}", nearest(str(name), FORMULAS[tool].asked)


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
