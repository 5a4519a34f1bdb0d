"""GitLab: a pipeline by a trigger token, with the request in its variables.

https://docs.gitlab.com/api/pipeline_triggers/. GitLab has no key against repeats: the pipeline's name must hold the retrain id
(`workflow: {name: 'retrain $DRIFTD_RETRAIN_ID'}`); with `token` (read_api) a pipeline of that name is found before another is
begun, and its end is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.channels.base import Failed, Retry
from alerts.retraining.adapter import PollOutcome, Started, StartOutcome
from alerts.retraining.client import Client, Reply, dig, items, name_of, segment
from alerts.retraining.options import Options, client_of, mapped, mapping_of, text_of
from alerts.retraining.request import RetrainRequest

URL = "https://gitlab.com"
ID_VARIABLE = "DRIFTD_RETRAIN_ID"  # always sent: pipelines are told apart by it


@dataclass(frozen=True, slots=True, repr=False)
class GitLabAdapter:
    """project: number or path. variables: CI variable -> field of the request."""

    client: Client
    project: str
    ref: str
    trigger_token: str
    variables: dict[str, str]

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        found = self._pipeline_named(request.id, now_ms)
        if not isinstance(found, Reply):
            return found
        pipeline = next((p for p in items(found.data) if request.id in str(dig(p, "name")).split()), None)
        if pipeline is None:
            variables = {ID_VARIABLE: request.id, **mapped(self.variables, request)}
            form = {"token": self.trigger_token, "ref": self.ref, **{f"variables[{k}]": v for k, v in variables.items()}}
            got = self.client.call("POST", f"{self._path()}/trigger/pipeline", now_ms, form=form)
            if not isinstance(got, Reply):
                return got
            if not got.ok:
                return self.client.refused(got)
            pipeline = got.data
        run, url = name_of(dig(pipeline, "id")), dig(pipeline, "web_url")
        return Started(run, url if isinstance(url, str) else "") if run else self.client.unclear("the pipeline's id")

    def poll(self, run: str, now_ms: int) -> PollOutcome:
        got = self.client.call("GET", f"{self._path()}/pipelines/{segment(run)}", now_ms)
        if not isinstance(got, Reply) or not got.ok:
            return self.client.not_told(got, run)
        return self.client.told(dig(got.data, "status"), ("success",), ("failed", "canceled", "skipped"))

    def _pipeline_named(self, request_id: str, now_ms: int) -> Reply | Retry | Failed:
        """The newest hundred that were triggered."""
        query = {"source": "trigger", "per_page": "100", "order_by": "id", "sort": "desc"}
        got = self.client.call("GET", f"{self._path()}/pipelines", now_ms, query=query)
        if not isinstance(got, Reply):
            return got
        if not got.ok:
            return self.client.refused(got)
        return got if isinstance(got.data, list) else self.client.unclear("a list of pipelines")

    def _path(self) -> str:
        return f"/api/v4/projects/{segment(self.project)}"


def build(options: Options) -> GitLabAdapter:
    given = dict(options)
    client = client_of({**given, "token": None}, "GitLab", URL, {"PRIVATE-TOKEN": str(given["token"])})
    variables = mapping_of(options, {"DRIFTD_REQUEST": "request"}, r"[A-Za-z_][A-Za-z0-9_]*")
    project, ref = text_of(options, "project"), text_of(options, "ref", "main")
    return GitLabAdapter(client, project, ref, str(given["trigger_token"]), variables)
