"""Kubeflow Pipelines (v2beta1): a run named after the request; a run of that name is looked for first, for names are not unique.

https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from alerts.channels.base import Failed, Retry
from alerts.retraining.adapter import PollOutcome, Started, StartOutcome
from alerts.retraining.client import Client, Reply, dig, items, name_of, segment
from alerts.retraining.options import DEFAULT_PARAMETERS, Options, client_of, mapped, mapping_of, safe_name, text_of
from alerts.retraining.request import RetrainRequest

RUNS = "/apis/v2beta1/runs"


@dataclass(frozen=True, slots=True, repr=False)
class KubeflowAdapter:
    """parameters: parameter of the pipeline -> field of the request. Names that are "" are left out."""

    client: Client
    pipeline: str
    pipeline_version: str
    experiment: str
    namespace: str
    service_account: str
    parameters: dict[str, str]

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        name = safe_name(request.id)
        found = self._run_of(name, now_ms)
        if not isinstance(found, str):
            return found
        if found:
            return self._started(found)
        reference = {"pipeline_id": self.pipeline, "pipeline_version_id": self.pipeline_version}
        body = {
            "display_name": name,
            "description": f"driftd: {request.model} {request.version}, {request.reason}"[:250],
            "pipeline_version_reference": {k: v for k, v in reference.items() if v},
            "runtime_config": {"parameters": mapped(self.parameters, request)},
            **{k: v for k, v in (("experiment_id", self.experiment), ("service_account", self.service_account)) if v},
        }
        got = self.client.call("POST", RUNS, now_ms, body)
        if not isinstance(got, Reply):
            return got
        if not got.ok:
            return self.client.refused(got)
        run = name_of(dig(got.data, "run_id"))
        return self._started(run) if run else self.client.unclear("run_id")

    def poll(self, run: str, now_ms: int) -> PollOutcome:
        got = self.client.call("GET", f"{RUNS}/{segment(run)}", now_ms)
        if not isinstance(got, Reply) or not got.ok:
            return self.client.not_told(got, run)
        detail = dig(got.data, "error", "message")
        return self.client.told(dig(got.data, "state"), ("SUCCEEDED",), ("FAILED", "CANCELED", "SKIPPED"), detail)

    def _run_of(self, name: str, now_ms: int) -> str | Retry | Failed:
        """The id of the run of that name, "" where there is none."""
        named = {"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]}
        query = {"page_size": "10", "filter": json.dumps(named)}
        query |= {k: v for k, v in (("namespace", self.namespace), ("experiment_id", self.experiment)) if v}
        got = self.client.call("GET", RUNS, now_ms, query=query)
        if not isinstance(got, Reply):
            return got
        if not got.ok:
            return self.client.refused(got)
        if not isinstance(got.data, dict):
            return self.client.unclear("a list of runs")
        return next((name_of(dig(r, "run_id")) for r in items(got.data, "runs") if dig(r, "display_name") == name), "")

    def _started(self, run: str) -> Started:
        return Started(run, f"{self.client.base}/#/runs/details/{segment(run)}")


def build(options: Options) -> KubeflowAdapter:
    version, experiment = text_of(options, "pipeline_version"), text_of(options, "experiment")
    namespace, account = text_of(options, "namespace"), text_of(options, "service_account")
    mapping = mapping_of(options, DEFAULT_PARAMETERS)
    client = client_of(options, "Kubeflow")
    return KubeflowAdapter(client, text_of(options, "pipeline"), version, experiment, namespace, account, mapping)
