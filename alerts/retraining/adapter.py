"""The seam between driftd and a system that runs training jobs.

start is called until it gives Started or Refused, with the same request.id each time: an adapter hands it on as whatever its
system knows (an idempotency key, a run id, a name), or looks for a run that has it, so that a repeat begins no second job.
poll says how a run is doing; None where the system cannot be asked: then the job reports back (POST /v1/retrains/{id}).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alerts.channels.base import Failed, Retry
from alerts.channels.fetch import Answer
from alerts.retraining.request import RetrainRequest


@dataclass(frozen=True, slots=True)
class Started:
    """The system has it. run: its own id of the run, "" where it tells none. url: where people can look at it."""

    run: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over. version: of the new model, where the system says so."""

    succeeded: bool
    detail: str = ""
    version: str = ""


class Running:
    """Not over yet."""


StartOutcome = Started | Retry | Failed
PollOutcome = Running | Finished | Retry | None


class Adapter(Protocol):
    """Neither method raises for what the system or the network does; secrets are in no error and in no repr."""

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome: ...
    def poll(self, run: str, now_ms: int) -> PollOutcome: ...


def refused(answer: Answer, system: str) -> Retry | Failed:
    """The outcome of an answer that is no success: 408, 425, 429 and 5xx are tried again. The body is not shown: it may quote."""
    why = f"{system} answered {answer.status}"
    if answer.status in (408, 425, 429) or answer.status >= 500:
        return Retry(answer.retry_after_ms, why)
    if 300 <= answer.status < 400:
        return Failed(f"{why}: redirects are not followed, give the final address")
    hint = {401: ": check the credentials", 403: ": check the rights of the credentials", 404: ": check the address and the name"}
    return Failed(why + hint.get(answer.status, ""))
