"""Talking JSON to a system that runs jobs: bounded, without redirects, to a checked address; no answer raises.

Whatever is not as its documentation says becomes Retry or Failed with a sentence; bodies and URLs are in no error.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from alerts.channels.base import Failed, Retry
from alerts.channels.fetch import Answer, fetch
from alerts.retraining.adapter import Finished, PollOutcome, Running, refused

DETAIL_CHARS_MOST = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer and what it says: data is the parsed JSON, None where it is none."""

    status: int
    headers: dict[str, str]
    data: Any
    answer: Answer

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True, repr=False)
class Client:
    """system: its name for people. base: without a slash at its end. headers: sent each time, secrets among them."""

    system: str
    base: str
    timeout_s: float = 10.0
    allow_private: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def call(
        self, method: str, path: str, now_ms: int, body: Any = None, form: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
    ) -> Reply | Retry | Failed:  # fmt: skip
        """body is sent as JSON, form as a form. path: its parts percent-encoded by segment()."""
        sent = {"Accept": "application/json", **self.headers, **(headers or {})}
        data: bytes | None = None
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif form is not None:
            data, sent["Content-Type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        url = self.base + path + (f"?{urlencode(query)}" if query else "")
        answer = fetch(method, url, data, sent, now_ms, self.timeout_s, self.allow_private)
        if not isinstance(answer, Answer):
            return answer
        try:
            found = json.loads(answer.body) if answer.body else None
        except (ValueError, RecursionError):
            found = None
        return Reply(answer.status, answer.headers, found, answer)

    def refused(self, reply: Reply) -> Retry | Failed:
        """Of a start that the system did not take."""
        return refused(reply.answer, self.system)

    def unclear(self, what: str) -> Retry:
        """Of a success whose body lacks what it must have: a proxy's page, most often."""
        return Retry(None, f"{self.system} answered without {what}: is the address right, is it behind a login page?")

    def not_told(self, got: Reply | Retry | Failed, run: str) -> PollOutcome:
        """Of a poll that gave no state. Credentials and addresses can be mended while the job runs: only a 404 of the system
        itself ends it, which is JSON; a proxy's page that says 404 is not."""
        if isinstance(got, Reply) and got.status == 404 and isinstance(got.data, dict):
            return self.gone(run)
        outcome = self.refused(got) if isinstance(got, Reply) else got
        return outcome if isinstance(outcome, Retry) else Retry(None, outcome.error)

    def gone(self, run: str) -> Finished:
        return Finished(False, f"{self.system} no longer knows run {shortened(run)}: how it ended is not known")

    def told(
        self, state: Any, good: tuple[str, ...], bad: tuple[str, ...], detail: Any = "", version: Any = ""
    ) -> PollOutcome:  # fmt: skip
        """What a state means; one that is in neither tuple is not the end."""
        if not isinstance(state, str) or not state:
            return self.unclear("the state of the run")
        said = f"{state}: {detail}" if isinstance(detail, str) and detail else state
        if state in good:
            return Finished(True, shortened(said), version if isinstance(version, str) else "")
        return Finished(False, shortened(said)) if state in bad else Running()


def dig(data: Any, *path: str | int) -> Any:
    """The value at a path of keys and indices, None where there is none."""
    for step in path:
        if isinstance(data, dict) and isinstance(step, str):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and -len(data) <= step < len(data):
            data = data[step]
        else:
            return None
    return data


def items(data: Any, *path: str | int) -> list[Any]:
    """The list at a path, empty where there is none."""
    found = dig(data, *path)
    return found if isinstance(found, list) else []


def name_of(value: Any) -> str:
    """An id as text: systems write them as strings or whole numbers. "" for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value)


def segment(text: str) -> str:
    """Percent-encoded as one segment of a path: no slash, and no dots that would climb."""
    return quote(text, safe="").replace(".", "%2E") if set(text) <= {"."} else quote(text, safe="")


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def shortened(text: str) -> str:
    return text if len(text) <= DETAIL_CHARS_MOST else text[: DETAIL_CHARS_MOST - 1] + "…"
