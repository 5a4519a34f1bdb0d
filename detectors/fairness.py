"""Whether a model treats the groups of a protected segment alike: from counts of predictions and of outcomes.

    demographic_parity_difference   greatest - least share that is predicted the favourable label
    disparate_impact                least / greatest such share; under four fifths is taken as adverse impact
                                    (29 CFR 1607.4 D, "Uniform guidelines on employee selection procedures", 1978)
    disparate_impact_p              of least and greatest so far apart where all groups are treated alike: Fisher's exact test of the
                                    two, less half of the observed point, times the ordered pairs of groups
    equal_opportunity_difference    greatest - least true positive rate (Hardt, Price, Srebro 2016)
    equalized_odds_difference       the greater of the spreads of true and of false positive rates (the same)
    predictive_parity_difference    greatest - least precision (Chouldechova 2017)

The spreads are those of fairlearn (`method="between_groups"`). A rate whose denominator has fewer rows than
`least_rows` says nothing about its group: it is left out, and the evidence names it. With fewer than two rates
left the value is undefined.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from detectors.calibrate.closed import share_root
from detectors.category import CategorySummary
from detectors.performance import PerformanceSummary
from detectors.score import Score

FOUR_FIFTHS = 0.8


@dataclass(frozen=True, slots=True)
class Ratio:
    """favourable of all."""

    hits: int
    rows: int

    @property
    def value(self) -> float:
        return self.hits / self.rows if self.rows else math.nan


@dataclass(frozen=True, slots=True)
class GroupRates:
    """Of one group: how often the favourable label is predicted, and how that agrees with the truth."""

    selection: Ratio
    true_positive: Ratio
    false_positive: Ratio
    precision: Ratio


def rates(label: CategorySummary | None, performance: PerformanceSummary | None, favourable: str) -> GroupRates:
    """The rates of one group, from its predicted labels and, as far as labels have come, its confusion counts."""
    selection = Ratio(0, 0) if label is None else Ratio(label.counts.get(favourable, 0), label.rows)
    tp = fp = fn = tn = 0
    for (predicted, true), rows in ({} if performance is None else performance.confusion).items():
        if predicted == favourable:
            tp, fp = (tp + rows, fp) if true == favourable else (tp, fp + rows)
        else:
            fn, tn = (fn + rows, tn) if true == favourable else (fn, tn + rows)
    return GroupRates(selection, Ratio(tp, tp + fn), Ratio(fp, fp + tn), Ratio(tp, tp + fp))


def score_fairness(subject: str, groups: dict[str, GroupRates], least_rows: int) -> list[Score]:
    """Scores of one protected segment; groups by the segment's value."""
    selection = {name: g.selection for name, g in groups.items()}
    tpr = {name: g.true_positive for name, g in groups.items()}
    fpr = {name: g.false_positive for name, g in groups.items()}
    precision = {name: g.precision for name, g in groups.items()}
    parity = _spread(subject, "demographic_parity_difference", selection, least_rows)
    out = [parity, *_impact(subject, selection, least_rows, parity)]
    if not any(r.rows for rates in (tpr, fpr, precision) for r in rates.values()):
        return out
    opportunity = _spread(subject, "equal_opportunity_difference", tpr, least_rows)
    false_alarms = _spread(subject, "equalized_odds_difference", fpr, least_rows)
    both = (opportunity.value, false_alarms.value)
    odds = math.nan if any(math.isnan(v) for v in both) else max(both)
    evidence: dict[str, object] = {"true_positive_rate": opportunity.evidence, "false_positive_rate": false_alarms.evidence}
    fewest = min(opportunity.rows, false_alarms.rows)
    out += [opportunity, Score(subject, "equalized_odds_difference", odds, fewest, evidence=evidence)]
    return [*out, _spread(subject, "predictive_parity_difference", precision, least_rows)]


def _spread(subject: str, name: str, rates: dict[str, Ratio], least_rows: int) -> Score:
    """Greatest less least rate; rows is the least denominator that it rests on."""
    kept = {group: rate for group, rate in rates.items() if rate.rows >= max(1, least_rows)}
    evidence: dict[str, object] = {
        "rates": {group: round(rate.value, 6) for group, rate in kept.items()},
        "rows": {group: rate.rows for group, rate in kept.items()},
        "too_few_rows": {group: rate.rows for group, rate in rates.items() if group not in kept},
    }
    if len(kept) < 2:
        evidence["reason"] = f"{len(kept)} groups have {max(1, least_rows)} rows; at least 2 are compared"
        return Score(subject, name, math.nan, 0, evidence=evidence)
    values = [rate.value for rate in kept.values()]
    return Score(subject, name, max(values) - min(values), min(r.rows for r in kept.values()), evidence=evidence)


def _impact(subject: str, rates: dict[str, Ratio], least_rows: int, parity: Score) -> list[Score]:
    """Least over greatest rate and its p-value; undefined where nobody at all is favoured."""
    kept = sorted((rate for rate in rates.values() if rate.rows >= max(1, least_rows)), key=lambda rate: rate.value)
    known = len(kept) >= 2 and kept[-1].value > 0
    value = kept[0].value / kept[-1].value if known else math.nan
    evidence: dict[str, object] = {
        **parity.evidence,
        "four_fifths_rule": "unknown" if math.isnan(value) else ("kept" if value >= FOUR_FIFTHS else "broken"),
    }
    if not known:
        evidence.setdefault("reason", "the favourable label is predicted in no group")
    p = min(1.0, len(kept) * (len(kept) - 1) * float(ndtr(-apart(kept[0], kept[-1])))) if known else math.nan
    if known:
        evidence["effect"] = 1.0 - value
    found = {"disparate_impact": value, "disparate_impact_p": p}
    return [Score(subject, name, v, parity.rows, evidence=dict(evidence)) for name, v in found.items()]


def apart(least: Ratio, greatest: Ratio) -> float:
    """How far the lesser rate lies under the greater, as a normal deviate of the exact test of two shares."""
    found = share_root(*(np.array([float(v)]) for v in (least.hits, least.rows, greatest.hits, greatest.rows)))
    return -float(found[0])
