"""Functions of the user's own, named in the config as package.module:function, that make a metric of a window's outcomes.

A function takes the window's PerformanceSummary (detectors/performance.py) and returns a number, or (value, low, high).
A number gets its interval from the summary's counts (detectors/labelled/redrawn.py) or from outcomes kept for it (resampled.py).
It is imported when the model is built, so that `driftd check` and a start say at once what is wrong with it.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
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


def measured(
    function: Callable[[PerformanceSummary], Any], summary: PerformanceSummary
) -> tuple[float, tuple[float, float] | None]:
    """What a function says of a summary: the value, and its interval where it gives one. Raises whatever the user's code raises."""
    found = function(summary)
    if not isinstance(found, tuple):
        return float(found), None
    number, low, high = found
    return float(number), (float(low), float(high))


def told(error: BaseException) -> str:
    """What a function raised, and in which line of its own file."""
    said = f"{type(error).__name__}: {error}"[:500]
    frames = traceback.extract_tb(error.__traceback__)
    others = [f for f in frames if f.filename != frames[0].filename and f.filename != __file__]
    mine = [f for f in others if f.filename == others[0].filename]
    return f"{said} ({Path(mine[-1].filename).name}, line {mine[-1].lineno})" if mine else said
