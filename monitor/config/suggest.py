"""What the writer of a config may have meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any


def nearest(word: str, known: Any) -> str:
    """The closest of the known names, and what is allowed."""
    names = sorted(str(k) for k in known)
    close = get_close_matches(word, names, n=1)
    listed = ", ".join(names[:30]) or "none"
    return f"did you mean {close[0]!r}? allowed: {listed}" if close else f"allowed: {listed}"
