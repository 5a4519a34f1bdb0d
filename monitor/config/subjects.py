"""Names of features that would be taken for something else in the results: a score's key is its subject and its name.

The subject of a feature's scores is the feature's name, so a feature cannot be called as another analyser's subject is, nor
as a column that another feature becomes (`t: datetime` becomes t.hour).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from detectors.kinds import derived_names
from monitor.config.lines import Path

# subjects of the analysers in monitor/analysis.py that are no feature; tests/test_subjects.py holds that they are all of them
SUBJECTS = frozenset({
    "analysis", "concept", "cost", "embedding", "estimated_performance", "estimated_performance_weighted", "evidently", "features", "labels",
    "latency", "multivariate", "performance", "prediction", "probabilities", "quantiles", "schema", "target",
    "target_estimated", "traffic", "worst_segment",
})  # fmt: skip
PREFIXES = ("check:", "compare:", "event:", "fairness:", "resource:", "source:")


def name_problems(kinds: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(feature, what is wrong, what to do) of features and their kinds."""
    made: dict[str, str] = {}
    for feature, kind in kinds.items():
        made |= dict.fromkeys((n for names in derived_names({feature: kind}) for n in names if n != feature), feature)
    for feature in kinds:
        if feature in SUBJECTS:
            allowed = f"any name but {', '.join(sorted(SUBJECTS))}"
            yield feature, f"{feature!r} is what other scores of the model are called by", f"{_RENAME}; allowed: {allowed}"
        elif feature.startswith(PREFIXES):
            allowed = f"any name that does not begin with {', '.join(PREFIXES)}"
            yield feature, f"{feature!r} is what other scores of the model are called by", f"{_RENAME}; allowed: {allowed}"
        elif feature in made:
            yield feature, f"{feature!r} is also what the feature {made[feature]!r} ({kinds[made[feature]]}) becomes", _RENAME


_RENAME = "send the feature under another name (of a file: `columns: {features.NEW: COLUMN}`)"


def feature_problems(model: dict[str, Any], path: Path) -> Iterator[tuple[Path, str, str]]:
    """Of a model's `features`, which may be broken elsewhere."""
    features = model.get("features")
    kinds = {f: k for f, k in features.items() if isinstance(f, str) and isinstance(k, str)} if isinstance(features, dict) else {}
    for feature, problem, fix in name_problems(kinds):
        yield (*path, "features", feature), problem, fix
