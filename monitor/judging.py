"""How each registered score gets a limit when the config names it in `calibration.scores`.

    null      what it does where nothing has changed is known, at both numbers of rows      NULLS
    past      it is held against the model's own past windows, by hour and weekday          everything else
    neither   and why                                                                       reason

tests/test_judging.py holds that every score of detectors/score_names.py is one of the three, and that those with a null get it.
"""

from __future__ import annotations

from detectors.calibrate.held import HELD
from detectors.calibrate.series import SERIES
from detectors.score_names import COMPARE, FAMILIES, FORMULA_SCORES, INTERVALS, PERFORMANCE
from detectors.stream import STREAM_DETECTORS
from monitor.budget import P_VALUES

SCORES = {name: doc for family in FAMILIES.values() for name, doc in family.items()}
MISSING = ("missing_share", "missing_shift", "missing_shift_p")
# p-values by their own tests, judged where the config or a rule names them
TESTS = frozenset(
    name for name in SCORES if name.endswith("_p") and name not in HELD and name not in FORMULA_SCORES and name not in MISSING
)
# effects that have a p-value beside them, which says how likely they are
BY_P = {name: f"{name}_p" for name in SCORES if f"{name}_p" in TESTS} | {"reconstruction_error_z": "reconstruction_error_p"}
_PERFORMANCE = frozenset(name for name, doc in PERFORMANCE.items() if doc.worse in ("above", "below"))
NULLS = frozenset({"drift", *MISSING, *HELD, *_PERFORMANCE, *P_VALUES, *TESTS, *BY_P, "label_shift"})
JUDGED = NULLS | frozenset(SERIES)  # a rule that names one has its limit


def reason(name: str) -> str:
    """Why a registered score has no calibrated limit, neither by a null nor by its past; "" where it has one."""
    if name in NULLS or name in SERIES:
        return ""
    if name in INTERVALS or name in ("mse_low", "mse_high", "compare_effect_low", "compare_effect_high"):
        return "it is an end of an interval: judge the value between"
    if name.endswith("_se"):
        return "it is a standard error: judge what it belongs to"
    if name in COMPARE:
        return "a sequential test gives its answer, at its own alpha"
    if name in STREAM_DETECTORS or name == "errors_rose":
        return "it counts what a detector called a change, at the detector's own limit"
    if name in FORMULA_SCORES and name.endswith(_VERDICTS):
        return "it is another tool's own test or verdict: judge our statistic of that name"
    if name == "failed":
        return "it is no number: it says that there is none"
    if name in ("count", "brier_uncertainty"):
        return "it says how many there are, or how hard the task is: nothing that gets worse"
    return ""


_VERDICTS = ("_p", "p_val", "_threshold", "is_drift", "drifted", "drift_detected", "_limit")


def by_past(name: str) -> bool:
    """Whether a registered score is held against its own past windows alone."""
    return name in SCORES and name not in JUDGED and not reason(name)
