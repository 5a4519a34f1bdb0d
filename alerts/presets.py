"""Rules that hold where nobody wrote any: what every team wants to be told of a model. Overridable by name.

The first ones have limits of their own, for what is bad whatever the data: two windows in a row, enough rows, a change
that stands out of what is usual for the model. The others go by the verdicts of the model's calibrated limits, which share
one budget of false alarms a week; `rule-broken` by what the config itself forbids, `events-refused` and `labels-unusable` by facts, `concept-drift` goes by the detectors' own limits (by default ADWIN's, for a fiftieth
of that budget), and only where errors rose.
"""

from __future__ import annotations

from alerts.rules import Rule

DEFAULT = (
    Rule("traffic-stopped", absent="events", for_windows=2, severity="critical"),
    Rule("feature-vanished", min_rows=-1, scores=("missing_share",), above=0.95, resolve_below=0.5, severity="critical", resolve_windows=2),
    Rule("missing-values-rose", min_rows=-1, scores=("missing_share",), rise_by=0.2, for_windows=2, resolve_windows=2),
    Rule("errors-rose", min_rows=-1, subjects=("traffic",), scores=("error_share",), rise_by=0.05, for_windows=2, resolve_windows=2,
         severity="critical"),
    Rule("latency-doubled", min_rows=-1, subjects=("latency",), scores=("latency_p95_ms",), rise_ratio=2.0, for_windows=2, resolve_windows=2),
    Rule("accuracy-fell", min_rows=-1, subjects=("performance",), scores=("accuracy", "roc_auc", "subset_accuracy", "ndcg_at_k"), fall_by=0.05,
         for_windows=2, resolve_windows=2, severity="critical"),
    Rule("error-grew", min_rows=-1, subjects=("performance",), scores=("mae", "rmse", "pinball"), rise_ratio=1.5, for_windows=2, resolve_windows=2,
         severity="critical"),
    Rule("drift", resolve_windows=2,
         scores=("drift", "js", "rank_shift", "mmd_p", "mahalanobis_p", "reconstruction_error_p", "correlation_p", "domain_auc_p")),
    Rule("rule-broken", resolve_windows=2,
         scores=("violation_share", "range_violation_share", "length_violation_share", "pattern_violation_share")),
    Rule("events-refused", subjects=("schema",), scores=("wrong_type_share", "non_finite_share"), resolve_windows=2, severity="critical"),
    Rule("labels-unusable", subjects=("labels",), scores=("unusable_share",), resolve_windows=2),
    Rule("missing-values-changed", scores=("missing_share",), resolve_windows=2),
    Rule("performance-fell", subjects=("performance",), scores=("accuracy", "roc_auc", "mae", "subset_accuracy", "ndcg_at_k", "pinball"),
         resolve_windows=2, severity="critical"),
    Rule("estimated-performance-fell", subjects=("estimated_performance",), scores=("accuracy", "roc_auc", "mae"), resolve_windows=2),
    Rule("segment-fell", subjects=("worst_segment",), scores=("segment_accuracy_drop_p", "segment_mae_rise_p"), resolve_windows=2),
    Rule("groups-unequal", subjects=("fairness:*",), scores=("disparate_impact",), resolve_windows=2),
    Rule("challenger-worse", subjects=("compare:*",), scores=("roll_back",)),
    Rule("challenger-better", subjects=("compare:*",), scores=("promote",), level="warn", severity="info"),
    Rule("labels-biased", subjects=("labels",), scores=("label_bias", "label_bias_p"), resolve_windows=2),
    Rule("concept-drift", subjects=("concept",), scores=("errors_rose",), resolve_windows=2, severity="critical"),
    Rule("traffic-unusual", subjects=("traffic", "latency", "worst_segment"), resolve_windows=2,
         scores=("rows", "error_share", "latency_p95_ms", "error_gap", "latency_gap_ms")),
)  # fmt: skip

PRESETS: dict[str, tuple[Rule, ...]] = {"default": DEFAULT, "none": ()}


def with_preset(name: str, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The preset's rules, without those whose names the config uses itself, and the config's."""
    written = {rule.name for rule in rules}
    return (*(rule for rule in PRESETS[name] if rule.name not in written), *rules)
