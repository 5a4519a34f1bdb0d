"""The analyser of features together: what the config's `multivariate` section asks for, against the built reference."""

from __future__ import annotations

from collections.abc import Iterable

from detectors.joint import score_multivariate
from detectors.multivariate import PART, load_fit
from detectors.score import Score
from monitor.view import GroupView


def multivariate(view: GroupView) -> Iterable[Score]:
    """Nothing without a reference that was built since the config asked for it."""
    if view.inputs is None or view.profile is None or PART not in view.inputs.parts or PART not in view.profile.extras:
        return []
    return score_multivariate(view.inputs.parts[PART], load_fit(view.profile.extras[PART]), view.profile.name)
