"""What an alert is called by, and patterns over it: the same for routes, silences and inhibition.

    {"model": "credit", "subject": ["income", "age*"], "severity": "!info"}

Every named label must match one of its patterns (shell patterns, case matters). A pattern that begins with `!`
matches what the rest of it does not; with several, the value must escape each of these and match one of the others.
A label that an alert does not have is the empty text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

# every alert has these; tags of a model (monitor/config/model.py) come beside them
LABELS = ("model", "version", "segment", "subject", "score", "rule", "severity", "kind", "team", "alert")
LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
MATCHERS_MOST, PATTERN_CHARS_MOST = 20, 500
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Matcher:
    """Patterns by label; hashable. Empty: matches every alert."""

    patterns: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @staticmethod
    def of(raw: Mapping[str, Any]) -> Matcher:
        """From {label: pattern or list of patterns}. Raises ValueError that names the label."""
        if len(raw) > MATCHERS_MOST:
            raise ValueError(f"{len(raw)} labels to match, at most {MATCHERS_MOST} are allowed")
        out = []
        for name, value in raw.items():
            if not isinstance(name, str) or not LABEL_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no label's name; labels are: {', '.join(LABELS)}, or a tag of a model")
            patterns = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
            if not patterns or len(patterns) > 100 or not all(isinstance(p, str) for p in patterns):
                raise ValueError(f"{name}: {value!r} is no pattern; write a text, or a list of up to 100")
            if any(len(p) > PATTERN_CHARS_MOST for p in patterns):
                raise ValueError(f"{name}: a pattern is longer than {PATTERN_CHARS_MOST} characters")
            out.append((name, tuple(patterns)))
        return Matcher(tuple(sorted(out)))

    def matches(self, labels: Labels) -> bool:
        return all(_value_matches(patterns, labels.get(name, "")) for name, patterns in self.patterns)

    def plain(self) -> dict[str, list[str]]:
        """As `of` reads it."""
        return {name: list(patterns) for name, patterns in self.patterns}

    def __str__(self) -> str:
        return ", ".join(f"{name}={'|'.join(patterns)}" for name, patterns in self.patterns) or "everything"


@lru_cache(maxsize=65_536)
def _value_matches(patterns: tuple[str, ...], value: str) -> bool:
    wanted = [p for p in patterns if not p.startswith("!")]
    if any(fnmatchcase(value, p[1:]) for p in patterns if p.startswith("!")):
        return False
    return not wanted or matches_any(wanted, value)


def matches_any(patterns: Iterable[str], value: str) -> bool:
    """Whether one of the shell patterns matches."""
    return any(fnmatchcase(value, pattern) for pattern in patterns)
