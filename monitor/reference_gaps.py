"""What a built reference cannot say: features without a value, and references of nothing at all.

Every window of such a feature is `unsure`, which is said when the reference is built and can still be mended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from detectors.choice import trouble
from detectors.columns import Columns
from detectors.kinds import schema_columns
from detectors.pairs import CategoryPair, NumericPair
from detectors.profile import Profile

LISTED = 20  # features that are told one by one


def is_empty(profile: Profile, columns: Columns) -> bool:
    """Whether no row has a value of a feature or a prediction, so that no window could be compared with anything."""
    counted = [column.rows for column in profile.numeric.values()] + [column.rows for column in profile.categorical.values()]
    counted += [profile.label.rows, *(labelled.rows for labelled in profile.performance.values())]
    vectors = any(not np.isnan(values).all() for values in columns.vectors.values())
    numbers = any(not np.isnan(values).all() for values in columns.numbers.values())
    lists = any((lists.lengths >= 0).any() for lists in columns.lists.values())
    return not (any(counted) or vectors or numbers or lists)


def gaps(profile: Profile, kinds: Mapping[str, str]) -> Iterator[str]:
    """Lines for people. kinds: of the features as the config or the file has them, before others are derived of them."""
    if not kinds:
        yield (
            "no features: no drift of inputs will be seen; where the model has any, give a file with a column for each, or name "
            "those that it has in the config's `features` and `columns`"
        )
    found = {feature: why for feature, kind in sorted(kinds.items()) if (why := _trouble(profile, feature, kind))}
    for feature, why in [*found.items()][:LISTED]:
        yield f"{feature}: its windows will be `unsure`: {why}"
    if len(found) > LISTED:
        yield f"and {len(found) - LISTED:,} more features whose windows will be `unsure`"


def _trouble(profile: Profile, feature: str, kind: str) -> str:
    """Why no column of a feature can be compared, "" where one can."""
    numeric, categorical, _ = schema_columns({feature: kind})
    found = [trouble(NumericPair(profile.numeric[c], profile.numeric[c])) for c in numeric]
    found += [trouble(CategoryPair(profile.categorical[c], profile.categorical[c])) for c in categorical]
    return found[0] if all(found) else ""
