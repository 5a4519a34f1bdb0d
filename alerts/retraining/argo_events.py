"""Argo Events: an event to a webhook event source, whose sensor names the workflow after `retrain_id`.

https://argoproj.github.io/argo-events/eventsources/setup/webhook/; the event bus keeps no ids, so it is the workflow's name
that lets a repeated event begin no second job. The job reports back.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.retraining.adapter import Started, StartOutcome
from alerts.retraining.client import Client, Reply
from alerts.retraining.options import Options, client_of, safe_name
from alerts.retraining.request import RetrainRequest


@dataclass(frozen=True, slots=True, repr=False)
class ArgoEventsAdapter:
    """client: of the event source's whole address."""

    client: Client

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        body = {**request.payload(), "name": safe_name(request.id)}  # name: fit for metadata.name of the workflow
        got = self.client.call("POST", "", now_ms, body)
        if not isinstance(got, Reply):
            return got
        return Started() if got.ok else self.client.refused(got)

    def poll(self, run: str, now_ms: int) -> None:
        return None


def build(options: Options) -> ArgoEventsAdapter:
    return ArgoEventsAdapter(client_of(options, "Argo Events"))
