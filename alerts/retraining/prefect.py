"""Prefect (2, 3 and Cloud): a flow run of a deployment; the same idempotency key gives the run that is there.

https://docs.prefect.io/v3/api-ref/rest-api/server/deployments/create-flow-run-from-deployment
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from alerts.channels.base import Failed, Retry
from alerts.retraining.adapter import PollOutcome, Started, StartOutcome
from alerts.retraining.client import Client, Reply, dig, name_of, segment
from alerts.retraining.options import Options, client_of, mapped, mapping_of, safe_name, text_of
from alerts.retraining.request import RetrainRequest

UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


@dataclass(frozen=True, slots=True, repr=False)
class PrefectAdapter:
    """deployment: its id, or FLOW/DEPLOYMENT. parameters: parameter of the flow -> field; `request` is handed on as an object."""

    client: Client
    deployment: str
    parameters: dict[str, str]

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        deployment = self._deployment_id(now_ms)
        if not isinstance(deployment, str):
            return deployment
        plain = mapped(self.parameters, request)
        body = {
            "name": safe_name(request.id),
            "idempotency_key": request.id,
            "parameters": {k: request.payload() if self.parameters[k] == "request" else v for k, v in plain.items()},
            "tags": ["driftd"],
        }
        got = self.client.call("POST", f"/deployments/{segment(deployment)}/create_flow_run", now_ms, body)
        if not isinstance(got, Reply):
            return got
        if not got.ok:
            outcome = self.client.refused(got)
            wrong = isinstance(outcome, Failed) and got.status in (409, 422)
            return Failed(f"{outcome.error}: does the flow have these parameters?") if wrong else outcome
        run = name_of(dig(got.data, "id"))
        return Started(run) if run else self.client.unclear("the flow run's id")

    def poll(self, run: str, now_ms: int) -> PollOutcome:
        got = self.client.call("GET", f"/flow_runs/{segment(run)}", now_ms)
        if not isinstance(got, Reply) or not got.ok:
            return self.client.not_told(got, run)
        state = dig(got.data, "state_type") or dig(got.data, "state", "type")
        return self.client.told(state, ("COMPLETED",), ("FAILED", "CRASHED", "CANCELLED"), dig(got.data, "state", "message"))

    def _deployment_id(self, now_ms: int) -> str | Retry | Failed:
        if re.fullmatch(UUID, self.deployment):
            return self.deployment
        flow, _, name = self.deployment.partition("/")
        got = self.client.call("GET", f"/deployments/name/{segment(flow)}/{segment(name)}", now_ms)
        if not isinstance(got, Reply):
            return got
        if not got.ok:
            return self.client.refused(got)
        return name_of(dig(got.data, "id")) or self.client.unclear("the deployment's id")


def build(options: Options) -> PrefectAdapter:
    deployment = text_of(options, "deployment")
    if not re.fullmatch(UUID, deployment) and not all(deployment.partition("/")):
        raise ValueError(f"adapter prefect: deployment is {deployment!r}, must be its id or FLOW/DEPLOYMENT")
    return PrefectAdapter(client_of(options, "Prefect"), deployment, mapping_of(options, {"request": "request"}, r"[A-Za-z_]\w*"))
