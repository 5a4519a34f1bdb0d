"""The analyser of features together: what the config's `multivariate` section asks for, against the built reference."""

from __future__ import annotations

import math
from collections.abc import Iterable

from detectors.joint import SUBJECT, score_multivariate
from detectors.multivariate import FEATURES, PART, load_fit
from detectors.score import Score
from monitor.view import GroupView


def multivariate(view: GroupView) -> Iterable[Score]:
    """Without a reference that was built since the config asked for it, only the reason, of all rows of a version."""
    if view.inputs is None:
        return []
    if view.profile is not None and PART in view.inputs.parts and PART in view.profile.extras:
        return score_multivariate(view.inputs.parts[PART], load_fit(view.profile.extras[PART]), view.profile.name)
    wanted = view.model.schema.parts.get(PART)
    if wanted is None or view.segment:
        return []
    why = "it needs a built reference" if view.profile is None else "the reference was built before the config asked for it"
    reason: dict[str, object] = {"reason": f"{why}: run `driftd reference build`"}
    names = [(SUBJECT, name) for key, name in (("pca", "reconstruction_error"), ("mahalanobis", "mahalanobis")) if wanted.get(key)]
    names += [(SUBJECT if vector == FEATURES else vector, "mmd") for vector in wanted.get("mmd", ())]
    names += [(f"{x},{y}", "correlation") for x, y in wanted.get("pairs", ())]
    return [Score(subject, name, math.nan, view.rows, "", reason) for subject, name in names]
