"""From the config to how a model's limits are calibrated, and which scores have them."""

from __future__ import annotations

from monitor.budget import AUTOMATIC, Calibration
from monitor.config import Config
from monitor.config.model import ModelSettings
from monitor.judging import JUDGED, by_past
from monitor.policies import all_rules


def calibration_of(cfg: Config, settings: ModelSettings) -> Calibration:
    """The scores that always have calibrated limits, those that the config names, and those that a rule's level waits for.

    What is named and has no null is held against its own past.
    """
    said = settings.calibration
    named = {score for rule in all_rules(cfg.alerts) if rule.hears_levels for score in rule.scores}
    return Calibration(
        false_alarms_per_week=settings.false_alarms_per_week,
        correction=said.correction,
        scores=frozenset({*AUTOMATIC, *said.scores, *(named & JUDGED)}),
        series=frozenset({*said.series, *filter(by_past, said.scores)}),
        min_effect=dict(said.min_effect),
        min_rows=said.min_rows,
        use_past=said.use_past,
    )
