"""Dagster (open source and +): launchRun over GraphQL with the request in tags; a run with its id's tag is looked for first.

https://docs.dagster.io/api/graphql; a run that adds a tag `driftd/new_version` to itself names the new version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alerts.channels.base import Failed, Retry
from alerts.retraining.adapter import PollOutcome, Started, StartOutcome
from alerts.retraining.client import Client, Reply, dig, items, name_of, segment, shortened
from alerts.retraining.options import DEFAULT_PARAMETERS, Options, client_of, mapped, mapping_of, text_of
from alerts.retraining.request import RetrainRequest

ID_TAG = "driftd/retrain_id"
FIND = """query Find($filter: RunsFilter!) { runsOrError(filter: $filter, limit: 1) {
  __typename ... on Runs { results { runId } } } }"""
LAUNCH = """mutation Launch($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } } }"""
FOLLOW = """query Follow($id: ID!) { runOrError(runId: $id) {
  __typename ... on Run { status tags { key value } } } }"""
HINTS = {
    "RunConfigValidationInvalid": "the job's config does not fit: give config_path where it takes the parameters",
    "PipelineNotFoundError": "there is no such job: check location, repository and job",
    "UnauthorizedError": "check the rights of the token",
}


@dataclass(frozen=True, slots=True, repr=False)
class DagsterAdapter:
    """config_path: keys of the run config under which the parameters stand, () for tags alone."""

    client: Client
    selector: dict[str, str]
    config_path: tuple[str, ...]
    parameters: dict[str, str]

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        listed = self._ask(FIND, {"filter": {"tags": [{"key": ID_TAG, "value": request.id}]}}, "runsOrError", now_ms)
        if not isinstance(listed, dict):
            return listed
        if listed.get("__typename") != "Runs":
            return Retry(None, f"Dagster answered {_kind(listed)} instead of its runs")
        run = name_of(dig(items(listed, "results"), 0, "runId"))
        if run:
            return self._started(run)
        config: dict[str, Any] = dict(mapped(self.parameters, request)) if self.config_path else {}
        for key in reversed(self.config_path):
            config = {key: config}
        tags = [{"key": f"driftd/{k}", "value": v} for k, v in request.parameters().items() if v]
        params = {"selector": self.selector, "runConfigData": config, "executionMetadata": {"tags": tags}}
        launched = self._ask(LAUNCH, {"params": params}, "launchRun", now_ms)
        if not isinstance(launched, dict):
            return launched
        kind = _kind(launched)
        if kind in ("PythonError", "RunConflict"):
            return Retry(None, f"Dagster answered {kind}")
        if kind != "LaunchRunSuccess":
            return Failed(f"Dagster answered {kind}: {HINTS.get(kind, 'the run cannot be launched like this')}")
        run = name_of(dig(launched, "run", "runId"))
        return self._started(run) if run else self.client.unclear("the run's id")

    def poll(self, run: str, now_ms: int) -> PollOutcome:
        found = self._ask(FOLLOW, {"id": run}, "runOrError", now_ms)
        if not isinstance(found, dict):
            return self.client.not_told(found, run)
        if _kind(found) == "RunNotFoundError":
            return self.client.gone(run)
        if _kind(found) != "Run":
            return Retry(None, f"Dagster answered {_kind(found)}")
        tags = {dig(t, "key"): dig(t, "value") for t in items(found, "tags")}
        return self.client.told(
            found.get("status"), ("SUCCESS",), ("FAILURE", "CANCELED"), "", tags.get("driftd/new_version")
        )  # fmt: skip

    def _ask(self, query: str, variables: dict[str, Any], field: str, now_ms: int) -> dict[str, Any] | Retry | Failed:
        """The answer's field; GraphQL says what it refuses with status 200 (or 400) and `errors`."""
        got = self.client.call("POST", "/graphql", now_ms, {"query": query, "variables": variables})
        if not isinstance(got, Reply):
            return got
        if not got.ok:
            return self.client.refused(got)
        found = dig(got.data, "data", field)
        if isinstance(found, dict):
            return found
        return (
            Failed("Dagster refused the query: is it too old or too new?")
            if dig(got.data, "errors")
            else self.client.unclear(field)
        )

    def _started(self, run: str) -> Started:
        return Started(run, f"{self.client.base}/runs/{segment(run)}")


def _kind(found: dict[str, Any]) -> str:
    return shortened(name_of(found.get("__typename")) or "nothing")


def build(options: Options) -> DagsterAdapter:
    selector = {
        "repositoryLocationName": text_of(options, "location"),
        "repositoryName": text_of(options, "repository", "__repository__"),
        "jobName": text_of(options, "job"),
    }
    headers = {"Dagster-Cloud-Api-Token": str(options["token"])} if options.get("token") else {}
    config_path = tuple(part for part in text_of(options, "config_path").split(".") if part)
    if options.get("parameters") and not config_path:
        raise ValueError("adapter dagster: parameters need config_path, as in ops.train.config; without it tags carry all")
    mapping = mapping_of(options, DEFAULT_PARAMETERS, r"\w+")
    return DagsterAdapter(client_of({**options, "token": None}, "Dagster", "", headers), selector, config_path, mapping)
