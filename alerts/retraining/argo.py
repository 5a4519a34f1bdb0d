"""Argo Workflows: a workflow from a WorkflowTemplate, under a name made of the request's id: a second one is a 409.

https://argo-workflows.readthedocs.io/en/latest/rest-api/; an output parameter `version` of the workflow names the new version.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.channels.base import Retry
from alerts.retraining.adapter import PollOutcome, Started, StartOutcome
from alerts.retraining.client import Client, Reply, dig, items, segment
from alerts.retraining.options import DEFAULT_PARAMETERS, Options, client_of, mapped, mapping_of, safe_name, text_of
from alerts.retraining.request import RetrainRequest

FIELDS = "metadata.name,status.phase,status.message,status.outputs"


@dataclass(frozen=True, slots=True, repr=False)
class ArgoAdapter:
    """parameters: parameter of the template -> field of the request."""

    client: Client
    namespace: str
    template: str
    kind: str
    parameters: dict[str, str]

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        name = safe_name(request.id)
        options = {
            "name": name,
            "parameters": [f"{key}={value}" for key, value in mapped(self.parameters, request).items()],
            "labels": "app.kubernetes.io/managed-by=driftd",
        }
        body = {"namespace": self.namespace, "resourceKind": self.kind, "resourceName": self.template, "submitOptions": options}
        got = self.client.call("POST", f"/api/v1/workflows/{segment(self.namespace)}/submit", now_ms, body)
        if not isinstance(got, Reply):
            return got
        if got.status == 409:  # also said of what was aborted: only a workflow that is there has been submitted
            got = self.client.call("GET", self._place(name), now_ms, query={"fields": FIELDS})
            if not isinstance(got, Reply) or not got.ok:
                return Retry(None, f"Argo answered 409, but shows no workflow {name}")
        if not got.ok:
            return self.client.refused(got)
        if dig(got.data, "metadata", "name") != name:
            return self.client.unclear("the workflow's name")
        return Started(name, f"{self.client.base}/workflows/{segment(self.namespace)}/{name}")

    def poll(self, run: str, now_ms: int) -> PollOutcome:
        got = self.client.call("GET", self._place(run), now_ms, query={"fields": FIELDS})
        workflow = got.data if isinstance(got, Reply) and got.ok else None
        if isinstance(got, Reply) and got.status == 404:
            workflow = self._archived(run, now_ms)
        if workflow is None and not (isinstance(got, Reply) and got.ok):
            return self.client.not_told(got, run)
        if isinstance(workflow, dict) and "metadata" in workflow and not dig(workflow, "status", "phase"):
            return self.client.told("Pending", (), ())  # the controller has not seen it yet
        outputs = items(workflow, "status", "outputs", "parameters")
        version = next((dig(o, "value") for o in outputs if dig(o, "name") == "version"), "")
        phase, message = dig(workflow, "status", "phase"), dig(workflow, "status", "message")
        return self.client.told(phase, ("Succeeded",), ("Failed", "Error"), message, version)

    def _place(self, name: str) -> str:
        return f"/api/v1/workflows/{segment(self.namespace)}/{segment(name)}"

    def _archived(self, run: str, now_ms: int) -> dict[str, object] | None:
        """A workflow that its time to live has removed, where the server keeps an archive."""
        query = {"listOptions.fieldSelector": f"metadata.name={run},metadata.namespace={self.namespace}"}
        got = self.client.call("GET", "/api/v1/archived-workflows", now_ms, query=query)
        found = items(got.data, "items") if isinstance(got, Reply) and got.ok else []
        return next((w for w in found if dig(w, "metadata", "name") == run), None)


def build(options: Options) -> ArgoAdapter:
    kind = text_of(options, "kind", "WorkflowTemplate")
    if kind not in ("WorkflowTemplate", "ClusterWorkflowTemplate"):
        raise ValueError(f"adapter argo: kind is {kind!r}, must be WorkflowTemplate or ClusterWorkflowTemplate")
    mapping = mapping_of(options, DEFAULT_PARAMETERS, r"[A-Za-z0-9_-]+")
    return ArgoAdapter(
        client_of(options, "Argo"), text_of(options, "namespace"), text_of(options, "template"), kind, mapping
    )  # fmt: skip
