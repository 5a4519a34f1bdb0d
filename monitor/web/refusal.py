"""An answer that is not 2xx, with what to do about it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """What every answer that is not 2xx says. detail: the places, where several things are wrong."""

    error: str
    detail: list[str] = Field(default_factory=list)


def refusals(words: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """For the API's description: status -> what it means."""
    return {status: {"model": Problem, "description": text} for status, text in words.items()}


class Refusal(Exception):
    """status: of HTTP. message: for people, names the fix."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
