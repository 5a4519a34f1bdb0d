"""Vertex AI Pipelines: a pipeline job whose id is made of the request's: a second one is a 409.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.pipelineJobs; without `token` google-auth finds
credentials (the extra `vertex`): a service account's file, workload identity, the metadata server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alerts.channels.base import Failed, Retry
from alerts.retraining.adapter import PollOutcome, Started, StartOutcome
from alerts.retraining.client import Client, Reply, dig, segment
from alerts.retraining.options import DEFAULT_PARAMETERS, Options, client_of, mapped, mapping_of, need_package, safe_name, text_of
from alerts.retraining.request import RetrainRequest

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
CONSOLE = "https://console.cloud.google.com/vertex-ai/pipelines/locations"
BAD = ("PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED")


class GoogleCredentials:
    """Google's own search for credentials; a token is kept until it expires."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._found: Any = None

    def headers(self) -> dict[str, str] | Retry | Failed:
        import google.auth
        import google.auth.exceptions
        import google.auth.transport.requests

        try:
            if self._found is None:
                self._found = google.auth.default(scopes=[SCOPE])[0]
            request = google.auth.transport.requests.Request()
            timeout_s = self._timeout_s

            def bounded(*args: Any, **kwargs: Any) -> Any:
                return request(*args, **{**kwargs, "timeout": timeout_s})

            if not self._found.valid:
                self._found.refresh(bounded)
        except google.auth.exceptions.DefaultCredentialsError:
            return Failed("google-auth finds no credentials: set GOOGLE_APPLICATION_CREDENTIALS, or give token_file")
        except google.auth.exceptions.GoogleAuthError as error:
            return Retry(None, f"google-auth got no token: {type(error).__name__}")
        return {"Authorization": f"Bearer {self._found.token}"}


@dataclass(frozen=True, slots=True, repr=False)
class VertexAdapter:
    """template: the compiled pipeline's address in Artifact Registry. output: gs:// folder of its artifacts."""

    client: Client
    project: str
    region: str
    template: str
    output: str
    service_account: str
    parameters: dict[str, str]
    google: GoogleCredentials | None

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        headers = self._headers()
        if not isinstance(headers, dict):
            return headers
        name = safe_name(request.id, 128)
        body = {
            "displayName": name,
            "templateUri": self.template,
            "runtimeConfig": {"gcsOutputDirectory": self.output, "parameterValues": mapped(self.parameters, request)},
            "labels": {"managed-by": "driftd"},
            **({"serviceAccount": self.service_account} if self.service_account else {}),
        }
        got = self.client.call("POST", self._jobs(), now_ms, body, query={"pipelineJobId": name}, headers=headers)
        if not isinstance(got, Reply):
            return got
        if got.status == 409:  # also said of what was aborted: only a job that is there has been created
            got = self.client.call("GET", f"{self._jobs()}/{name}", now_ms, headers=headers)
            if not isinstance(got, Reply) or not got.ok:
                return Retry(None, f"Vertex AI answered 409, but shows no job {name}")
        if not got.ok:
            return self.client.refused(got)
        if not str(dig(got.data, "name")).endswith(f"/pipelineJobs/{name}"):
            return self.client.unclear("the job's name")
        page = f"{CONSOLE}/{segment(self.region)}/runs/{name}?project={segment(self.project)}"
        return Started(name, page)

    def poll(self, run: str, now_ms: int) -> PollOutcome:
        headers = self._headers()
        if not isinstance(headers, dict):
            return self.client.not_told(headers, run)
        got = self.client.call("GET", f"{self._jobs()}/{segment(run)}", now_ms, headers=headers)
        if not isinstance(got, Reply) or not got.ok:
            return self.client.not_told(got, run)
        detail = dig(got.data, "error", "message")
        return self.client.told(dig(got.data, "state"), ("PIPELINE_STATE_SUCCEEDED",), BAD, detail)

    def _headers(self) -> dict[str, str] | Retry | Failed:
        return {} if self.google is None else self.google.headers()

    def _jobs(self) -> str:
        return f"/v1/projects/{segment(self.project)}/locations/{segment(self.region)}/pipelineJobs"


def url_of(region: str) -> str:
    return f"https://{region}-aiplatform.googleapis.com"


def build(options: Options) -> VertexAdapter:
    region = text_of(options, "region")
    output = text_of(options, "output")
    if not output.startswith("gs://"):
        raise ValueError(f"adapter vertex: output is {output!r}, must be a folder as in gs://bucket/retrains")
    template = text_of(options, "template")
    if not template.startswith("https://"):
        raise ValueError(f"adapter vertex: template is {template!r}, must be in Artifact Registry: https://REGION-kfp.pkg.dev/...")
    client = client_of(options, "Vertex AI", url_of(region))
    if not options.get("token"):
        for module in ("google.auth", "requests"):
            need_package(module, "vertex", ", or give token_file")
    google = None if options.get("token") else GoogleCredentials(client.timeout_s)
    rest = (template, output, text_of(options, "service_account"))
    return VertexAdapter(client, text_of(options, "project"), region, *rest, mapping_of(options, DEFAULT_PARAMETERS), google)
