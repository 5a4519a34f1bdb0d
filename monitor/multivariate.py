"""The analyser of features together: what the config's `multivariate` section asks for, against the built reference."""

from __future__ import annotations

import math
from collections.abc import Iterable

from detectors.joint import SUBJECT, score_multivariate
from detectors.multivariate import FEATURES, PART, load_fit
from detectors.score import Score
from monitor.view import GroupView


def multivariate(view: GroupView) -> Iterable[Score]:
    """Without a reference that was built since the config asked for it: the reason, for all rows."""
    if view.inputs is None or PART not in view.model.schema.parts:
        return []
    if view.profile is None or PART not in view.profile.extras:
        return _nothing(view) if view.segment == "" and view.rows else []
    if PART not in view.inputs.parts:
        return []
    return score_multivariate(view.inputs.parts[PART], load_fit(view.profile.extras[PART]), view.profile.name)


def _nothing(view: GroupView) -> Iterable[Score]:
    """One score without a value of each thing that the config asks for."""
    options = view.model.schema.parts[PART]
    old = "the reference was built before the config asked for it: build it anew"
    why = "it needs a reference that `driftd reference build` made of rows" if view.profile is None else old
    wanted = [
        (SUBJECT, name) for option, name in (("pca", "reconstruction_error"), ("mahalanobis", "mahalanobis")) if options.get(option)
    ]
    wanted += [(SUBJECT if vector == FEATURES else vector, "mmd") for vector in options.get("mmd", ())]
    wanted += [(",".join(sorted(pair)), "correlation") for pair in options.get("pairs", ())]
    for subject, name in dict.fromkeys(wanted):
        yield Score(subject, name, math.nan, view.rows, view.reference, {"reason": why})
