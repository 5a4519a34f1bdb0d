"""Group metrics of a closed window over the protected segments that the config names, for each version."""

from __future__ import annotations

from collections.abc import Iterable

from detectors.fairness import GroupRates, rates, score_fairness
from detectors.score import Score
from monitor.panes import OTHER, Group
from monitor.view import WindowView


def fairness(view: WindowView) -> Iterable[tuple[Group, Score]]:
    """A score of subject `fairness:DIMENSION` for each metric, on the version's group of all rows."""
    wanted = view.model.fairness
    for version in sorted({v for v, _ in view.groups}) if wanted.protected else ():
        for dimension in wanted.protected:
            found: dict[str, GroupRates] = {}
            for (of, segment), group in sorted(view.groups.items()):
                name, _, value = segment.partition("=")
                if of == version and name == dimension and value not in ("", OTHER):
                    label = None if group.inputs is None else group.inputs.label
                    found[value] = rates(label, group.performance, wanted.favourable)
            for score in score_fairness(f"fairness:{dimension}", found, view.model.min_rows):
                yield (version, ""), score
