"""The tasks by name. To add one: a file with a Task, a line here, its name in detectors/columns.py."""

from __future__ import annotations

from detectors.labelled.binary import BINARY
from detectors.labelled.multiclass import MULTICLASS
from detectors.labelled.multilabel import MULTILABEL
from detectors.labelled.quantile import QUANTILE
from detectors.labelled.ranking import RANKING
from detectors.labelled.regression import REGRESSION
from detectors.labelled.tally import Task

LABELLED: dict[str, Task] = {
    "binary": BINARY,
    "multiclass": MULTICLASS,
    "multilabel": MULTILABEL,
    "regression": REGRESSION,
    "ranking": RANKING,
    "quantile": QUANTILE,
    "none": MULTICLASS,  # labels that come all the same are compared as they are
}
