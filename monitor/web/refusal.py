"""An answer that is not 2xx, with what to do about it."""

from __future__ import annotations


class Refusal(Exception):
    """status: of HTTP. message: for people, names the fix."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
