"""`false_alarms_per_week` and `calibration`: how limits are found for the scores that `thresholds` does not name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from detectors.calibrate.nulls import CALIBRATED
from detectors.score_names import INTERVALS, SCORE_NAMES
from monitor.budget import P_VALUES
from monitor.config.lines import Path
from monitor.config.performance import custom_names
from monitor.config.section import Section
from monitor.config.suggest import nearest
from monitor.judging import JUDGED, SCORES, reason

Found = Iterator[tuple[Path, str, str]]  # path, what is wrong, what to do


class CalibrationSettings(Section):
    correction: Literal["benjamini-hochberg", "benjamini-yekutieli", "bonferroni"] = "benjamini-hochberg"
    scores: list[str] = []  # besides those that are judged anyway
    series: list[str] = []  # any score, held against its own past windows
    min_effect: dict[str, Annotated[float, Field(ge=0.0)]] = {}
    min_rows: int = Field(30, ge=1)
    use_past: bool = True


def series_scores() -> frozenset[str]:
    """All names that `calibration.series` may have: what is no distance from the reference and no p-value."""
    taken = {"drift", *CALIBRATED, *P_VALUES}
    return frozenset(name for name in SCORES if name not in taken and not name.endswith("_p"))


def calibration_problems(model: dict[str, Any], path: Path) -> Found:
    """The scores that a model's `thresholds` and `calibration` name must exist, and have a null."""
    limits = model.get("thresholds")
    if isinstance(limits, str) and limits != "auto":
        fix = "write `thresholds: auto`, or a mapping as in {psi: {warn: 0.1}}"
        yield (*path, "thresholds"), "is neither `auto` nor limits by score", fix
    for name in limits if isinstance(limits, dict) else ():
        if name not in SCORE_NAMES and name not in custom_names(model) and not str(name).startswith("evidently_"):
            yield (*path, "thresholds", name), f"there is no score {name!r}", nearest(name, SCORE_NAMES)
    section = model.get("calibration")
    if not isinstance(section, dict):
        return
    names = section.get("scores")
    for i, name in enumerate(names if isinstance(names, list) else []):
        if str(name) not in SCORES and str(name) not in INTERVALS:
            yield (*path, "calibration", "scores", i), f"there is no score {name!r}", nearest(str(name), SCORES)
        elif why := reason(str(name)):
            yield (
                (*path, "calibration", "scores", i),
                f"{name!r} has no calibrated limit: {why}",
                "give it one in `thresholds`, or leave it out",
            )
    series = section.get("series")
    for i, name in enumerate(series if isinstance(series, list) else []):
        if name not in series_scores():
            why = "is compared with the reference" if name in JUDGED else "is no score that can be held against its past"
            fix = "leave it out" if name in JUDGED else nearest(str(name), series_scores())
            yield (*path, "calibration", "series", i), f"{name!r} {why}", fix
    effects = section.get("min_effect")
    for name in effects if isinstance(effects, dict) else ():
        if name not in SCORE_NAMES:
            yield (*path, "calibration", "min_effect", name), f"there is no score {name!r}", nearest(name, SCORE_NAMES)
