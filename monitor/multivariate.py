"""The analyser of features together: what the config's `multivariate` section asks for, against the built reference."""

from __future__ import annotations

import math
from collections.abc import Iterable

from detectors.joint import SUBJECT, score_multivariate
from detectors.multivariate import FEATURES, PART, Fit, load_fit
from detectors.score import Score
from monitor.view import GroupView

NO_PAIR = (
    "of the reference's rows fewer than ten have both, or one of them does not vary there: it has no correlation to compare with"
)


def multivariate(view: GroupView) -> Iterable[Score]:
    """Without a reference that was built since the config asked for it, only the reason, of all rows of a version."""
    if view.inputs is None:
        return []
    if view.profile is not None and PART in view.inputs.parts and PART in view.profile.extras:
        fit = load_fit(view.profile.extras[PART])
        return [*score_multivariate(view.inputs.parts[PART], fit, view.profile.name), *_without_fit(view, fit)]
    wanted = view.model.schema.parts.get(PART)
    if wanted is None or view.segment:
        return []
    why = "it needs a built reference" if view.profile is None else "the reference was built before the config asked for it"
    reason: dict[str, object] = {"reason": f"{why}: run `driftd reference build`"}
    names = [(SUBJECT, name) for key, name in (("pca", "reconstruction_error"), ("mahalanobis", "mahalanobis")) if wanted.get(key)]
    names += [(SUBJECT if vector == FEATURES else vector, "mmd") for vector in wanted.get("mmd", ())]
    names += [(",".join(sorted((x, y))), "correlation") for x, y in wanted.get("pairs", ())]
    return [Score(subject, name, math.nan, view.rows, "", reason) for subject, name in names]


def _without_fit(view: GroupView, fit: Fit) -> Iterable[Score]:
    """The pairs that the config names and the reference has no correlation of."""
    wanted = view.model.schema.parts.get(PART)
    if wanted is None or view.profile is None or view.segment:
        return
    fitted = {pair.subject for pair in fit.pairs}
    for x, y in wanted.get("pairs", ()):
        subject = ",".join(sorted((x, y)))
        if subject not in fitted:
            yield Score(subject, "correlation", math.nan, view.rows, view.profile.name, {"reason": NO_PAIR})
