"""What is computed for a closed window: every analyser by name, from merged summaries to scores without opinion.

    GROUP_ANALYSERS    one (version, segment) at a time: GroupView -> scores of that group
    WINDOW_ANALYSERS   the window as a whole, with what the model remembers: WindowView -> (group, score) pairs
    SETTLERS           what a round of publishing leaves to be done once, when its windows are written

An analyser is a function in a file of its own, over the views of monitor/view.py, and a line here. Its result must
be a function of the view: the same panes give the same scores, whoever publishes them and how often.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from detectors.category import CategorySummary
from detectors.kinds import silent_columns
from detectors.mask import hidden_categories, unnamed
from detectors.profile import PREDICTION
from detectors.score import Score, why_failed
from detectors.scoring import score_performance, score_window
from detectors.univariate import nothing_to_say
from detectors.window import Numeric, WindowSummary
from monitor.change import change
from monitor.compare import compared, settle_compared
from monitor.concept import concept, settle_concept
from monitor.estimates import estimated_performance, target_estimated
from monitor.fairness import fairness
from monitor.formulas import formulas
from monitor.guarded import PASSED_ON, tried
from monitor.label_scores import labels
from monitor.logs import log_event
from monitor.model import Model
from monitor.multivariate import multivariate
from monitor.operations import WHOLE, cost_budget, operations
from monitor.panes import Group
from monitor.quality import quality, schema_drift
from monitor.resource_scores import resources
from monitor.slow_scores import slow_scores
from monitor.target import target
from monitor.view import GroupView, Memory, WindowView
from monitor.worst_segments import worst_segments
from monitor.worth import worth

logger = logging.getLogger("driftd.analysis")

GroupAnalyser = Callable[[GroupView], Iterable[Score]]
WindowAnalyser = Callable[[WindowView], Iterable[tuple[Group, Score]]]


def inputs(view: GroupView) -> Iterable[Score]:
    """Features, predictions, latency and traffic, and their drift against the reference."""
    if view.inputs is None:
        return []
    seconds = (view.end_ms - view.start_ms) / 1000.0
    pairs = None if view.segment else view.pairs
    found = score_window(view.inputs, view.profile, view.learned, seconds, view.reference, view.model.statistics, pairs)
    return found if view.profile is not None or view.learned is not None else [*found, *_unheard(view.inputs, view.no_reference)]


def _unheard(summary: WindowSummary, why: str) -> Iterator[Score]:
    """The headline of each feature that is compared with nothing."""
    columns: dict[str, Numeric | CategorySummary] = {**summary.numeric, **summary.categorical}
    if summary.score.rows or summary.label.rows:
        columns[PREDICTION] = summary.score if summary.score.rows else summary.label
    for subject, column in columns.items():
        yield nothing_to_say(subject, column.rows, "", why)


def performance(view: GroupView) -> Iterable[Score]:
    """The outcomes known so far."""
    if view.performance is None:
        return []
    return score_performance(view.performance)


GROUP_ANALYSERS: dict[str, GroupAnalyser] = {
    "inputs": inputs,
    "performance": performance,
    "target": target,
    "worth": worth,
    "estimated_performance": estimated_performance,
    "target_estimated": target_estimated,
    "quality": quality,
    "operations": operations,
    "multivariate": multivariate,
    "formulas": formulas,
}
WINDOW_ANALYSERS: dict[str, WindowAnalyser] = {
    "labels": labels,
    "schema_drift": schema_drift,
    "worst_segments": worst_segments,
    "fairness": fairness,
    "cost_budget": cost_budget,
    "resources": resources,
    "concept": concept,
    "change": change,
    "compared": compared,
    "slow": slow_scores,
}
SETTLERS: dict[str, Callable[[Memory, Model], None]] = {"concept": settle_concept, "compared": settle_compared}


def analyse(view: WindowView) -> list[str]:
    """Run every analyser; scores are added to view.scores in the registries' order. Returns the analysers that failed, one for
    each score that could not be made.

    What raises costs an analyser its scores, and its writes into the model's memory, which a score of its own says; not the
    window. A score's key is its group, subject and name. A second one of the same key is left out and logged: it would take the
    window with it. The config refuses the names that could make one (monitor/config/subjects.py).
    """
    taken: dict[Group, set[tuple[str, str]]] = {}
    hidden = hidden_categories(view.model.schema)
    faults: list[str] = []
    for group, part in sorted(view.groups.items()):
        silent = silent_columns(part.model.schema.kinds, None if part.profile is None else part.profile.vocabulary)
        view.scores.setdefault(group, [])
        for name, analyser in GROUP_ANALYSERS.items():
            found = (score for score in _guarded(name, analyser, part) if score.subject not in silent)
            faults += _add(view, group, found, taken.setdefault(group, set()), name, hidden)
    for name, whole in WINDOW_ANALYSERS.items():
        pairs = tried(view.memory, partial(_listed, whole, view))
        if isinstance(pairs, Exception):
            rows = sum(part.rows for (_, segment), part in view.groups.items() if segment == "")
            pairs = [(WHOLE, Score("analysis", f"failed:{name}", math.nan, rows, "", why_failed(pairs)))]
        for group, score in pairs:
            faults += _add(view, group, [score], taken.setdefault(group, set()), name, hidden)
    return faults


def settle(memory: Memory, model: Model) -> list[str]:
    """Run every settler; returns those that failed: what they would have written anew waits for the next round."""
    faults = []
    for name, settler in SETTLERS.items():
        error = tried(memory, partial(_settled, settler, model))
        if error is not None:
            log_event(logger, logging.ERROR, "settle_failed", model=model.name, analyser=name, **why_failed(error))
            faults.append(name)
    return faults


def _settled(settler: Callable[[Memory, Model], None], model: Model, memory: Memory) -> None:
    settler(memory, model)


def _listed(whole: WindowAnalyser, view: WindowView, memory: Memory) -> list[tuple[Group, Score]]:
    return list(whole(replace(view, memory=memory)))


def _guarded(name: str, analyser: GroupAnalyser, part: GroupView) -> Iterator[Score]:
    """What raises on odd values costs the analyser's scores of this group, not the window."""
    try:
        yield from analyser(part)
    except PASSED_ON:
        raise
    except Exception as error:
        yield Score("analysis", f"failed:{name}", math.nan, part.rows, part.reference, why_failed(error))


def _add(
    view: WindowView, group: Group, scores: Iterable[Score], taken: set[tuple[str, str]], analyser: str, hidden: frozenset[str]
) -> list[str]:
    """Returns the analyser once for each score that could not be made. hidden: columns whose values have names that none may tell."""
    kept, failed = view.scores.setdefault(group, []), []
    for found in scores:
        score = unnamed(found) if found.subject in hidden else found
        if score is None:
            continue
        key = score.subject, score.name
        if key in taken:
            log_event(logger, logging.ERROR, "score_of_a_taken_name", **_place(view, group, score, analyser))
            continue
        taken.add(key)
        if "failed" in score.evidence:
            log_event(logger, logging.ERROR, "score_failed", error=score.evidence["failed"], **_place(view, group, score, analyser))
            failed.append(analyser)
        kept.append(score)
    return failed


def _place(view: WindowView, group: Group, score: Score, analyser: str) -> dict[str, object]:
    return {
        "model": view.model.name, "window_start_ms": view.start_ms, "version": group[0], "segment": group[1],
        "analyser": analyser, "subject": score.subject, "score": score.name,
    }  # fmt: skip
