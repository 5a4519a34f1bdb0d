"""When to try again: full-jitter exponential backoff, the receiver's Retry-After, and the end of patience."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

BASE_MS = 1_000
CAP_MS = 300_000
DEAD_AFTER_MS = 24 * 3_600_000


def delay_ms(attempts: int, retry_after_ms: int | None, random: Callable[[], float]) -> int:
    """Milliseconds to wait after the attempts-th failure (1 is the first). random gives [0, 1).

    At least 1 s, at most 5 min, or what the receiver asked for where that is longer (at most 24 h).
    """
    ceiling = min(CAP_MS, BASE_MS * 2 ** min(max(attempts, 1), 20))
    jittered = max(BASE_MS, int(random() * ceiling))
    return max(jittered, min(retry_after_ms or 0, DEAD_AFTER_MS))


def is_dead(created_ms: int, next_at_ms: int) -> bool:
    """Whether the next attempt would come 24 h or more after the notification was made."""
    return next_at_ms - created_ms >= DEAD_AFTER_MS


def parse_retry_after(text: str | None, now_ms: int) -> int | None:
    """A Retry-After header, seconds or an HTTP date, in milliseconds from now; None where it says nothing."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            return max(0, int(parsedate_to_datetime(text).timestamp() * 1000) - now_ms)
        except (ValueError, TypeError, OverflowError):
            return None
    if not 0 <= seconds < 1e9:
        return None
    return int(seconds * 1000)
