"""Scores exactly as other tools compute them, by the tool's name: what `profile:` in a model's config chooses from.

numeric(reference, current) -> scores of finite values, shapes (n,) and (m,), both not empty
category(reference, current) -> scores of counts by value, both not empty; missing rows of both follow where a tool counts them

Names are without the tool's; the first is the tool's default. `asked` holds scores that the config names by themselves. A
category that the reference lacks, an empty bin, a
logarithm of nothing: each tool has its own way, and that is kept, as its users know these numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from detectors.columns import Floats
from detectors.formulas import alibi, azure, evidently, frouros, nannyml, sagemaker, scouter, whylogs
from detectors.formulas.common import Asked, Found


@dataclass(frozen=True, slots=True)
class Formula:
    """One tool. names: its scores, each with a line that says what it is. asked: those that the config asks for by name.

    counts_missing: whether its shares of categories are of all rows, so that `category` takes (missing before, missing after) too.
    """

    numeric: Callable[[Floats, Floats], Found]
    category: Callable[..., Found]
    names: dict[str, str]
    asked: dict[str, Asked]
    counts_missing: bool = False


FORMULAS: dict[str, Formula] = {
    "evidently": Formula(evidently.numeric, evidently.category, evidently.NAMES, evidently.ASKED),
    "nannyml": Formula(nannyml.numeric, nannyml.category, nannyml.NAMES, nannyml.ASKED),
    "whylogs": Formula(whylogs.numeric, whylogs.category, whylogs.NAMES, whylogs.ASKED, counts_missing=True),
    "alibi": Formula(alibi.numeric, alibi.category, alibi.NAMES, alibi.ASKED),
    "sagemaker": Formula(sagemaker.numeric, sagemaker.category, sagemaker.NAMES, sagemaker.ASKED),
    "azure": Formula(azure.numeric, azure.category, azure.NAMES, azure.ASKED),
    "scouter": Formula(scouter.numeric, scouter.category, scouter.NAMES, scouter.ASKED),
    "frouros": Formula(frouros.numeric, frouros.category, frouros.NAMES, frouros.ASKED),
}
