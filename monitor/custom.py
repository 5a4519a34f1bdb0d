"""Functions of the user's own, named in the config as package.module:function, that make a metric of a window's outcomes.

A function takes the window's PerformanceSummary (detectors/performance.py) and returns a number, or (value, low, high).
A number gets its interval from the summary's counts (detectors/labelled/redrawn.py) or from outcomes kept for it (resampled.py).
It is imported when the model is built, so that `driftd check` and a start say at once what is wrong with it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from detectors.performance import PerformanceSummary


@dataclass(frozen=True, slots=True)
class Custom:
    """A score's name and the function that gives it. interval: whether driftd gives it one where the function does not."""

    name: str
    function: Callable[[PerformanceSummary], Any]
    interval: bool = True


def load_function(path: str) -> Callable[[PerformanceSummary], Any]:
    """The function that "package.module:function" names. Raises ValueError that says what is wrong."""
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ValueError(f"{path}: the module cannot be imported: {error}; install it beside driftd or set PYTHONPATH") from error
    except AttributeError as error:
        raise ValueError(f"{path}: {module} has no {name!r}") from error
    except (Exception, SystemExit) as error:  # whatever a module of the user's does when it is imported
        raise ValueError(f"{path}: importing it raised {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ValueError(f"{path}: is {type(found).__name__}, must be a function of a PerformanceSummary")
    function: Callable[[PerformanceSummary], Any] = found
    return function
