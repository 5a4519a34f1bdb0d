"""Regular expressions over the distinct values of a column, in linear time.

RE2 (through pyarrow) knows no backtracking: a pattern of the config cannot stop the daemon, whatever the strings.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from detectors.columns import Bools

PATTERN_CHARS = 500


class PatternError(ValueError):
    """A pattern that RE2 does not take. The text says why and what to do."""


@lru_cache(maxsize=1024)
def check_pattern(pattern: str) -> str:
    """The same pattern. Raises PatternError."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(pattern) > PATTERN_CHARS:
        raise PatternError(f"the pattern has {len(pattern)} characters; at most {PATTERN_CHARS} are allowed")
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        raise PatternError(f"{pattern!r} is no regular expression ({reason}); RE2's syntax has no look-around") from None
    return pattern


def full_match(values: list[str], pattern: str) -> Bools:
    """Which strings match the pattern from end to end, shape (len(values),). Raises PatternError."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.match_substring_regex(pa.array(values, type=pa.string()), rf"\A(?:{check_pattern(pattern)})\z")
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.bool_)
