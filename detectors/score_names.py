"""The names of all scores, as they stand in results, thresholds and rules, each with a line that says what it is.

A family is a plain dict of name -> Doc. To add a score that is no statistic of drift: a line in its family here.
The README's tables are made from these and from detectors/registry.py (`make docs`), and a test keeps them equal.
"""

from __future__ import annotations

from typing import NamedTuple

from detectors.formulas import FORMULAS
from detectors.registry import STATISTICS
from detectors.stream import STREAM_DETECTORS


class Doc(NamedTuple):
    """What a score is. worse: which way it gets worse, "above", "below", or "" where neither is. unit: "" for a plain number."""

    text: str
    worse: str = "above"
    unit: str = ""


DESCRIPTION = {
    "count": Doc("values that are there", "below", "rows"),
    "missing_share": Doc("missing values / rows"),
    "mean": Doc("mean of the finite values", "", "the feature's"),
    "std": Doc("standard deviation (ddof 0)", "", "the feature's"),
    "min": Doc("least finite value", "", "the feature's"),
    "max": Doc("greatest finite value", "", "the feature's"),
    **{
        f"p{q}": Doc(f"{int(q)} % quantile: exact where its cell is one value, else within it", "", "the feature's")
        for q in "01 05 25 50 75 95 99".split()
    },
}
DRIFT = {
    "drift": Doc("the statistic that suits the feature's kind and the reference's rows; its evidence says which"),
    **{name: Doc(s.text, "" if s.worse == "either" else s.worse, s.unit) for name, s in STATISTICS.items()},
    **{f"{name}_p": Doc(f"p-value of `{name}`", "below") for name, s in STATISTICS.items() if s.p_value is not None},
}
TRAFFIC = {
    "rows": Doc("events of the window", "", "rows"),
    "throughput_eps": Doc("events a second", "", "1/s"),
    "error_share": Doc("events whose status is not ok / rows"),
    "latency_p50_ms": Doc("median latency, within 1 %", "above", "ms"),
    "latency_p95_ms": Doc("95 % quantile, within 1 %", "above", "ms"),
    "latency_p99_ms": Doc("99 % quantile, within 1 %", "above", "ms"),
}
_METRICS = {
    "accuracy": Doc("right predictions / labelled rows", "below"),
    "precision": Doc("of the positive class, or the mean over classes", "below"),
    "recall": Doc("of the positive class, or the mean over classes", "below"),
    "f1": Doc("of the positive class, or the mean over classes", "below"),
    "specificity": Doc("rejected negatives / negatives (binary)", "below"),
    "balanced_accuracy": Doc("mean recall of the classes that occur (binary, multiclass)", "below"),
    "mcc": Doc("Matthews' correlation coefficient (binary, multiclass)", "below"),
    "roc_auc": Doc("area under the ROC curve (binary); its mean over classes, each against the rest (multiclass)", "below"),
    "roc_auc_weighted": Doc("the same, classes weighed with their rows (multiclass)", "below"),
    "roc_auc_ovo": Doc("mean area of all pairs of classes, one against one (Hand and Till 2001; up to 8 classes)", "below"),
    "gini": Doc("2 x ROC AUC - 1 (binary)", "below"),
    "pr_auc": Doc("average precision: area under the precision-recall curve (binary)", "below"),
    "score_ks": Doc("greatest distance between the two classes' score distributions (binary)", "below"),
    "brier": Doc("mean squared error of the probabilities (binary, multiclass; mean over labels: multilabel)"),
    "log_loss": Doc("mean negative log likelihood (binary, multiclass)"),
    "top_k_accuracy": Doc("rows whose true class is among the k most probable / rows (multiclass)", "below"),
    "ece": Doc("expected calibration error, 16 bins (binary; of the predicted class: multiclass; of one class or label: ece:NAME)"),
    "classwise_ece": Doc("mean of the classes' expected calibration errors, each against the rest (multiclass, multilabel)"),
    "mce": Doc("greatest calibration error of a bin"),
    "brier_reliability": Doc(
        "Murphy's decomposition of Brier's score: distance of the rates from the scores (binary; sum over classes: multiclass; mean: multilabel)"
    ),
    "brier_resolution": Doc("distance of the bins' rates from the overall rate (likewise)", "below"),
    "brier_uncertainty": Doc("variance of the label (likewise)", ""),
    "subset_accuracy": Doc("rows whose predicted set is the true one / rows (multilabel)", "below"),
    "hamming_loss": Doc("wrong classes / classes, mean over rows (multilabel)"),
    "jaccard": Doc("common / all labels of the two sets, mean over rows (multilabel)", "below"),
    "micro_precision": Doc("right labels / predicted labels (multilabel)", "below"),
    "micro_recall": Doc("right labels / true labels (multilabel)", "below"),
    "micro_f1": Doc("F1 over all labels of all rows (multilabel)", "below"),
    "macro_f1": Doc("mean F1 of the classes (multilabel)", "below"),
    "mae": Doc("mean absolute error (regression)", "above", "the label's"),
    "rmse": Doc("root of the mean squared error (regression)", "above", "the label's"),
    "r2": Doc("coefficient of determination (regression)", "below"),
    "mean_error": Doc("bias: mean of prediction less truth (regression)", "", "the label's"),
    "mape": Doc("mean of |error / truth| over truths that are not 0 (regression)"),
    "smape": Doc("mean of 2 |error| / (|truth| + |prediction|) (regression)"),
    "median_absolute_error": Doc("median of |error|, within 1 % (regression)", "above", "the label's"),
    **{
        f"error_p{q}": Doc(f"{int(q)} % quantile of the error, within 1 % (regression)", "", "the label's")
        for q in ("05", "50", "95")
    },
    "ndcg_at_k": Doc("normalised discounted cumulative gain of the first k (ranking)", "below"),
    "map_at_k": Doc("mean average precision of the first k (ranking)", "below"),
    "mrr": Doc("mean of 1 / place of the first relevant item, 0 behind the first 100 (ranking)", "below"),
    "hit_rate_at_k": Doc("rows with a relevant item among the first k / rows (ranking)", "below"),
    "precision_at_k": Doc("relevant items among the first k / k (ranking)", "below"),
    "recall_at_k": Doc("relevant items among the first k / relevant items (ranking)", "below"),
    "no_relevant_share": Doc("labels that name no relevant item, left out of the others / labels (ranking)"),
    "cut_list_share": Doc("lists of more than 100 items, of which the rest is not looked at / lists (ranking)", ""),
    "pinball": Doc("mean quantile loss over the levels; pinball:Q of one (quantile)", "above", "the label's"),
    "crps": Doc("continuous ranked probability score from the quantiles (quantile)", "above", "the label's"),
    "interval_coverage": Doc("truths between the outermost quantiles / rows (quantile)", ""),
    "interval_coverage_error": Doc("distance of that from what the levels promise (quantile)"),
    "interval_width": Doc("mean distance of the outermost quantiles (quantile)", "above", "the label's"),
    "quantile_coverage": Doc("quantile_coverage:Q: truths at or below the quantile of level Q / rows (quantile)", ""),
    "quantile_calibration_error": Doc(
        "mean distance of these shares from their levels; evidence: the reliability curve (quantile)"
    ),
    "quantile_crossing_share": Doc("forecasts of which a quantile lies below one of a lower level / rows (quantile)"),
}
PERFORMANCE = {
    **_METRICS,
    "value_total": Doc("worth of the labelled predictions, by the config's matrix", "below", "money"),
    "value_per_event": Doc("the same / labelled rows", "below", "money"),
}


def worse(metric: str) -> str:
    """Which way a metric of performance or traffic gets worse: "above", "below", or "" where neither is, or it is not known."""
    doc = PERFORMANCE.get(metric.partition(":")[0]) or TRAFFIC.get(metric)
    return "" if doc is None else doc.worse


LABELS = {
    "coverage": Doc("labelled rows / rows", "below"),
    **{
        f"delay_p{q}_seconds": Doc(f"{q} % quantile of the time from prediction to label, within 1 %", "above", "s")
        for q in (50, 95, 99)
    },
    "unusable": Doc("labels that say nothing for the task: a word for a number, a class for a list", "above", "labels"),
    "unusable_share": Doc("these / labels that came; 0.001 warn, 0.01 breach by default"),
    "label_bias": Doc(
        "distance of the labelled rows from the others in score, predicted label or segment, 0 where it may be chance"
    ),
    "label_bias_p": Doc("least p-value of these comparisons, corrected for their number", "below"),
}
INTERVALS = frozenset(
    f"{name}_{end}" for name in (*_METRICS, "value_total", "value_per_event") for end in ("low", "high")
)  # 95 %, beside each metric
QUALITY = {
    "absent": Doc("1 where no row has the feature, though the reference has it; breach by default"),
    "constant": Doc("1 where all rows have one value, though the reference has several; warn by default"),
    "out_of_range_share": Doc("values beyond the reference's least and greatest / values"),
    "outlier_share": Doc("values more than 1.5 interquartile ranges beyond the reference's quartiles / values"),
    "extreme_share": Doc("values more than 3 interquartile ranges beyond them / values"),
    "length_out_of_range_share": Doc("strings longer or shorter than any of the reference / strings"),
    "range_violation_share": Doc("values outside the config's range / values; limits as violation_share"),
    "length_violation_share": Doc("strings whose length is outside the config's / strings; likewise"),
    "pattern_violation_share": Doc("strings that do not match the config's pattern / strings; likewise"),
}
CHECKS = {
    "violation_share": Doc("rows that violate the rule / rows for which it can be said; 0.001 warn, 0.01 breach by default"),
}
SCHEMA = {
    "wrong_type_share": Doc(
        "events refused for a field of another type, and values of datetime features that are no times and latencies below 0 / refused and accepted events; 0.001 warn, 0.01 breach by default"
    ),
    "non_finite_share": Doc(
        "events refused for NaN or an infinite value (`non_finite: reject`) / refused and accepted events; 0.001 warn, 0.01 breach by default"
    ),
    "unnamed_features": Doc("features of sampled events (1 message of 1,024) that the schema does not name", "above", "features"),
}
ANALYSIS = {
    "failed": Doc(
        "failed:ANALYSER, only where it raised on the values of the group or window: no number, the evidence says why", ""
    ),
}
FRESHNESS = {
    "rebinned_share": Doc("only where the reference switched within the window: rows counted in the other one's cells / rows"),
    "duplicate_share": Doc("repeats of an event id / these and the accepted"),
    "newest_event_age_ms": Doc("end of the window less the time of its newest event; judged by `thresholds` alone", "above", "ms"),
    "ingest_delay_p50_ms": Doc("median time from an event to its record in the log, within 1 %", "above", "ms"),
    "ingest_delay_p95_ms": Doc("95 % quantile of it", "above", "ms"),
}
NUMBERS = {
    "total": Doc("sum over the window", "", "the field's"),
    "per_second": Doc("sum over the window / its seconds", "", "the field's a second"),
}
COST = {
    "window_usd": Doc("what the window's events cost, over all versions", "above", "USD"),
    "burn_rate": Doc("pace of the window / pace that the day's budget allows; 1 spends it in a day"),
    "budget_spent_share": Doc("spent since midnight UTC / budget"),
    "budget_exhausted_in_hours": Doc("until the budget is gone, at the window's pace", "below", "hours"),
}
_RESOURCES = {
    "cpu_cores": ("processor cores in use", "cores"),
    "memory_bytes": ("resident memory", "bytes"),
    "open_files": ("open file descriptors", "files"),
    "network_receive_bytes_per_s": ("received, all interfaces but loopback", "bytes/s"),
    "network_transmit_bytes_per_s": ("sent, all interfaces but loopback", "bytes/s"),
    "gpu_utilization": ("share of time that the GPU computed, 0 to 1", ""),
    "gpu_memory_bytes": ("GPU memory in use", "bytes"),
    "gpu_power_watts": ("GPU power", "W"),
    "gpu_temperature_celsius": ("GPU temperature", "degrees Celsius"),
    "server_requests_per_s": ("requests that the server answered", "1/s"),
    "server_failures_per_s": ("requests that it failed", "1/s"),
    "server_request_ms": ("mean time of a request inside the server", "ms"),
    "server_queue_ms": ("mean time of a request in its queue", "ms"),
    "server_compute_ms": ("mean time of the model itself", "ms"),
    "server_pending_requests": ("requests that wait", "requests"),
}
RESOURCES = {
    "samples": Doc("only where the window has none: no number, `unsure`, the evidence says why", "", "samples"),
    **{name: Doc(f"{text}; mean of the window's samples", "above", unit) for name, (text, unit) in _RESOURCES.items()},
    **{f"{name}_max": Doc("greatest sample of it", "above", unit) for name, (_, unit) in _RESOURCES.items()},
}
OUTLIERS = {
    "multivariate_outlier_share": Doc("rows farther from the reference (Mahalanobis) than all but 0.001 of its own rows / rows"),
}
WORST = {
    "error_gap": Doc("failed share inside the segment less that of all other rows; the evidence says which segment"),
    "error_gap_p": Doc("its p-value, corrected for all segments that were looked at", "below"),
    "latency_gap_ms": Doc("mean latency inside the slowest segment less that of all other rows", "above", "ms"),
    "segment_accuracy_gap": Doc("accuracy of all other labelled rows less that inside the segment (classification)"),
    "segment_accuracy_gap_p": Doc("its p-value, corrected for all segments that were looked at", "below"),
    "segment_mae_gap": Doc("mean absolute error inside the segment less that of all other labelled rows (regression)"),
    "segment_mae_gap_p": Doc("its p-value, corrected for all segments that were looked at", "below"),
    "segment_accuracy_drop": Doc(
        "fall of the accuracy inside the segment that fell behind most since the reference, beyond what all others' change explains (classification)"
    ),
    "segment_accuracy_drop_p": Doc("its p-value (Zelen's exact test), corrected for all segments that were looked at", "below"),
    "segment_mae_rise": Doc(
        "rise of the mean absolute error inside the segment that fell behind most, beyond what all others' change explains (regression)"
    ),
    "segment_mae_rise_p": Doc("its p-value, corrected for all segments that were looked at", "below"),
    "latency_gap_ms_p": Doc("its p-value, corrected for all segments that were looked at", "below"),
}
FAIRNESS = {
    "demographic_parity_difference": Doc("greatest less least share of a group that is predicted the favourable label"),
    "disparate_impact": Doc(
        "least / greatest such share; judged within the budget of false alarms, and no breach over 0.8, the four-fifths rule",
        "below",
    ),
    "disparate_impact_p": Doc("its p-value (exact test of the two groups), corrected for all pairs of groups", "below"),
    "equal_opportunity_difference": Doc("greatest less least true positive rate of a group"),
    "equalized_odds_difference": Doc("greater spread of the true and of the false positive rate"),
    "predictive_parity_difference": Doc("greatest less least precision of a group"),
}
_OF = {
    "accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1", "specificity": "specificity (binary)",
    "roc_auc": "area under the ROC curve (multiclass: mean of each class against the rest)",
}  # fmt: skip
_LOSS = ("mae", "mse", "rmse")
_CELLS = {
    **{f"{a}_{b}_share": f"{a} {b}s / rows (binary)" for a in ("true", "false") for b in ("positive", "negative")},
}
ESTIMATED = {
    "calibration_error": Doc(
        "expected calibration error of the scores (DLE: of the predicted absolute error, relative) on rows of the reference set aside"
    ),
    **{name: Doc(f"estimated {text}", "below") for name, text in _OF.items() if name not in PERFORMANCE},
    **{name: Doc(f"estimated {text}", "above" if "false" in name else "below") for name, text in _CELLS.items()},
    **{f"{name}_gap": Doc(f"{name}: estimated less realised, once labels have come", "") for name in _OF},
    **{f"{name}_gap": Doc(f"{name}: estimated less realised", "") for name in _LOSS},
    "value_per_event_gap": Doc("value_per_event: estimated less realised, once labels have come", ""),
    **{f"mse_{end}": Doc("end of its band of three sampling errors", "") for end in ("low", "high")},
    "label_shift": Doc("distance (total variation) of the classes' estimated shares from the reference's"),
}
MULTIVARIATE = {
    "domain_auc": Doc("area under the ROC curve of a classifier that tells window from reference (slow)"),
    "domain_auc_p": Doc("its p-value, against rows dealt out anew", "below"),
    "reconstruction_error": Doc("mean length of what the reference's PCA plane (65 % of the variance) leaves of a row", ""),
    "reconstruction_error_std": Doc("its standard deviation over rows (ddof 1)", ""),
    "reconstruction_error_z": Doc("its distance from the reference's, in standard errors"),
    "reconstruction_error_p": Doc("its p-value (two-sided)", "below"),
    "mahalanobis": Doc("Mahalanobis distance of the means", "above", "standard deviations of the reference"),
    "mahalanobis_p": Doc("its p-value (Hotelling)", "below"),
    "mahalanobis_rows": Doc("mean squared Mahalanobis distance of rows / features; 1 as in the reference"),
    "mmd": Doc("squared maximum mean discrepancy, unbiased: Gaussian kernel, random Fourier features"),
    "mmd_p": Doc("its p-value, from permutations of the reference", "below"),
    "correlation": Doc("Pearson's correlation of a pair, subject `x,y`", ""),
    "correlation_shift": Doc("its distance from the reference's"),
    "correlation_p": Doc("its p-value (Fisher's z, with the reference's own spread)", "below"),
}

CONCEPT = {
    "performance_expected_at_mix": Doc("accuracy, or mae, had only the mix of scores changed since the reference", ""),
    "performance_change_by_inputs": Doc("that, less the reference's: what other inputs changed", ""),
    "performance_change_by_inputs_se": Doc("its standard error", ""),
    "performance_change_by_concept": Doc(
        "accuracy, or mae, less the expected at the mix: what a changed relation changed, or inputs that do not move the scores, "
        "which the evidence names",
        "",
    ),
    "performance_change_by_concept_se": Doc("its standard error", ""),
    "performance_change_by_concept_p": Doc("its p-value (two-sided: of the number of errors, of a regression normal)", "below"),
    "calibration_shift": Doc(
        "mean distance from the reference's of the positives' share at a score (binary), of the right rows' at a confidence (multiclass)"
    ),
    "calibration_shift_p": Doc("its p-value (chi-square over groups of scores that hold enough of each class)", "below"),
    **{name: Doc(f"firings of the stream detector {name} on the errors, as labels come") for name in STREAM_DETECTORS},
    "errors_rose": Doc("detectors that fired in the window, 0 where its errors do not lie above those of the windows before"),
}

FORMULA_SCORES = {
    f"{tool}.{name}": Doc(text, "below" if text.startswith("p-value") or name.endswith("_p") else "above", "")
    for tool, formula in FORMULAS.items()
    for name, text in {**formula.names, **{name: asked.text for name, asked in formula.asked.items()}}.items()
}

COMPARE = {
    "compare_champion": Doc("mean of the metric, of the champion's rows so far", ""),
    "compare_challenger": Doc("mean of the metric, of the challenger's rows so far", ""),
    "compare_effect": Doc("challenger less champion, over the windows in which both have rows", ""),
    "compare_effect_low": Doc("lower end of its interval, which may be looked at every window", ""),
    "compare_effect_high": Doc("upper end", ""),
    "promote": Doc("1 where the challenger is certainly better by more than min_effect; `warn` by default", ""),
    "roll_back": Doc("1 where it is certainly not; `breach` by default. Neither: keep waiting"),
}

FAMILIES: dict[str, dict[str, Doc]] = {
    "a feature, `prediction`": DESCRIPTION,
    "a feature, `prediction`, `target`, against the reference": DRIFT,
    "a feature, `prediction`, `features`, with `profile: TOOL`": FORMULA_SCORES,
    "a feature: its quality": QUALITY,
    "`check:NAME`": CHECKS,
    "`schema`": SCHEMA,
    "`analysis`": ANALYSIS,
    "`traffic`, `latency`": {**TRAFFIC, **FRESHNESS},
    "`performance`, beside each NAME its 95 % interval: NAME_low, NAME_high": PERFORMANCE,
    "`labels`": LABELS,
    "`event:FIELD` (queue_ms, tokens_in, ...), beside mean, p50, p95, p99": NUMBERS,
    "`cost`": COST,
    "`resource:NAME`": RESOURCES,
    "`features`: rows as a whole": OUTLIERS,
    "`worst_segment`": WORST,
    "`fairness:SEGMENT`": FAIRNESS,
    "`concept`": CONCEPT,
    "`compare:CHALLENGER/CHAMPION:METRIC`": COMPARE,
    "`estimated_performance`, `estimated_performance_weighted`, `target_estimated`": ESTIMATED,
    "`multivariate`, a vector, a pair": MULTIVARIATE,
}
SCORE_NAMES = frozenset(name for family in FAMILIES.values() for name in family) | INTERVALS
