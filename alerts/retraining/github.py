"""GitHub Actions: `workflow` is dispatched (workflow_dispatch), or an event of `event_type` is sent (repository_dispatch).

https://docs.github.com/en/rest/actions/workflows, .../rest/repos/repos#create-a-repository-dispatch-event. GitHub has no key
against repeats: the workflow's `run-name` must hold the retrain id (`run-name: retrain ${{ inputs.retrain_id }}`, or
github.event.client_payload.retrain_id); then a run of that title is found before another is begun, and its end is seen.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from alerts.channels.base import Failed, Retry
from alerts.retraining.adapter import PollOutcome, Running, Started, StartOutcome
from alerts.retraining.client import Client, Reply, dig, items, name_of, segment
from alerts.retraining.options import DEFAULT_PARAMETERS, Options, client_of, mapped, mapping_of, shrunk, text_of
from alerts.retraining.request import RetrainRequest

URL = "https://api.github.com"
VERSION = {"X-GitHub-Api-Version": "2022-11-28"}
PAYLOAD_BYTES_MOST = 65_000  # GitHub refuses 64 KB and more of inputs or client_payload
TITLE = "title:"  # what begins the name of a run whose number GitHub did not tell


@dataclass(frozen=True, slots=True, repr=False)
class GitHubAdapter:
    """workflow or event_type is "". inputs: input of the workflow -> field of the request."""

    client: Client
    repository: str
    workflow: str
    event_type: str
    ref: str
    inputs: dict[str, str]

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        found = self._run_titled(request.id, now_ms)
        if not isinstance(found, dict):
            return found
        if found:
            return self._started(dig(found, "id"), dig(found, "html_url"), request)
        bodies = (self._body(r) for r in shrunk(request))
        body = next((b for b in bodies if len(json.dumps(b)) <= PAYLOAD_BYTES_MOST), None)
        if body is None:
            return Failed(f"the request has more than the {PAYLOAD_BYTES_MOST} bytes that GitHub takes")
        got = self._dispatch(body, now_ms)
        if isinstance(got, Reply) and got.status == 422 and self.workflow:  # an older server knows no return_run_details
            got = self._dispatch({k: v for k, v in body.items() if k != "return_run_details"}, now_ms)
        if not isinstance(got, Reply):
            return got
        if not got.ok:
            return self._refused(got, now_ms)
        if got.status != 204 and not name_of(dig(got.data, "workflow_run_id")):
            return self.client.unclear("workflow_run_id")
        return self._started(dig(got.data, "workflow_run_id"), dig(got.data, "html_url"), request)

    def poll(self, run: str, now_ms: int) -> PollOutcome:
        if run.startswith(TITLE):
            found = self._run_titled(run.removeprefix(TITLE), now_ms)
            if not isinstance(found, dict):
                return self.client.not_told(found, run)
            if not found:
                return Running()  # not listed yet, or its title lacks the id: then the job must report back
            return _told(self.client, found)
        got = self.client.call("GET", f"{self._repo()}/actions/runs/{segment(run)}", now_ms, headers=VERSION)
        if not isinstance(got, Reply) or not got.ok:
            limited = self._refused(got, now_ms) if isinstance(got, Reply) else got
            return limited if isinstance(limited, Retry) else self.client.not_told(got, run)
        return _told(self.client, got.data)

    def _body(self, request: RetrainRequest) -> dict[str, Any]:
        if self.workflow:
            return {"ref": self.ref, "inputs": mapped(self.inputs, request), "return_run_details": True}
        return {"event_type": self.event_type, "client_payload": client_payload(request)}

    def _dispatch(self, body: dict[str, Any], now_ms: int) -> Reply | Retry | Failed:
        where = f"/actions/workflows/{segment(self.workflow)}/dispatches" if self.workflow else "/dispatches"
        return self.client.call("POST", self._repo() + where, now_ms, body, headers=VERSION)

    def _run_titled(self, request_id: str, now_ms: int) -> dict[str, Any] | Retry | Failed:
        """Among the newest hundred runs of the kind; {} where there is none."""
        where = f"/actions/workflows/{segment(self.workflow)}/runs" if self.workflow else "/actions/runs"
        event = "workflow_dispatch" if self.workflow else "repository_dispatch"
        query = {"event": event, "per_page": "100"}
        got = self.client.call("GET", self._repo() + where, now_ms, query=query, headers=VERSION)
        if not isinstance(got, Reply):
            return got
        if not got.ok:
            return self._refused(got, now_ms)
        if not isinstance(dig(got.data, "workflow_runs"), list):
            return self.client.unclear("a list of runs")
        runs = [r for r in items(got.data, "workflow_runs") if isinstance(r, dict)]
        return next((r for r in runs if _has(dig(r, "display_title"), request_id)), {})

    def _refused(self, got: Reply, now_ms: int) -> Retry | Failed:
        """A rate limit is a 403 too: with Retry-After, or with nothing remaining until x-ratelimit-reset (seconds)."""
        after = got.answer.retry_after_ms
        if got.status == 403 and (after is not None or got.headers.get("x-ratelimit-remaining") == "0"):
            reset = got.headers.get("x-ratelimit-reset", "")
            if after is None and reset.isdigit() and len(reset) < 12:
                after = max(0, int(reset) * 1000 - now_ms)
            return Retry(after, "GitHub's rate limit is reached")
        outcome = self.client.refused(got)
        if isinstance(outcome, Failed) and got.status == 422:
            return replace(outcome, error=outcome.error + ": does the workflow declare these inputs, does the ref exist?")
        return outcome

    def _started(self, run: object, url: object, request: RetrainRequest) -> Started:
        page = url if isinstance(url, str) else ""
        return Started(name_of(run) or TITLE + request.id, page)

    def _repo(self) -> str:
        owner, _, name = self.repository.partition("/")
        return f"/repos/{segment(owner)}/{segment(name)}"


def client_payload(request: RetrainRequest) -> dict[str, Any]:
    """GitHub takes ten keys at the top."""
    return {
        "type": "driftd.retrain", "retrain_id": request.id, "model": request.model, "version": request.version,
        "segment": request.segment, "why": {"reason": request.reason, "kind": request.kind, "rule": request.rule,
                                            "severity": request.severity, "alert": request.alert, "metric": request.metric},
        "window": {"start_ms": request.window_start_ms, "end_ms": request.window_end_ms, "since_ms": request.since_ms},
        "evidence": request.evidence, "lineage": request.lineage, "rows": request.rows,
    }  # fmt: skip


def _has(title: object, request_id: str) -> bool:
    """Whether the id stands in the title as a whole word."""
    return isinstance(title, str) and re.search(rf"(?<![\w-]){re.escape(request_id)}(?![\w-])", title) is not None


def _told(client: Client, run: Any) -> PollOutcome:
    status, conclusion = dig(run, "status"), dig(run, "conclusion")
    if status != "completed":
        return client.told(status, (), ())
    good = ("success",) if isinstance(conclusion, str) else ()
    return client.told(conclusion, good, (conclusion,) if isinstance(conclusion, str) else ())


def build(options: Options) -> GitHubAdapter:
    workflow, event_type = text_of(options, "workflow"), text_of(options, "event_type")
    if bool(workflow) == bool(event_type):
        raise ValueError("adapter github: give workflow (workflow_dispatch) or event_type (repository_dispatch), one of them")
    if len(event_type) > 100:
        raise ValueError("adapter github: event_type has more than 100 characters, GitHub takes no longer one")
    if event_type and options.get("parameters"):
        raise ValueError("adapter github: parameters are the inputs of a workflow; an event of event_type carries all there is")
    repository = text_of(options, "repository")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", repository):
        raise ValueError(f"adapter github: repository is {repository!r}, must be OWNER/NAME")
    inputs = mapping_of(options, DEFAULT_PARAMETERS, r"[A-Za-z_][A-Za-z0-9_-]*")
    if len(inputs) > 25:
        raise ValueError(f"adapter github: parameters has {len(inputs)} entries, a workflow takes 25 inputs")
    client = client_of(options, "GitHub", URL, {"Accept": "application/vnd.github+json"})
    return GitHubAdapter(client, repository, workflow, event_type, text_of(options, "ref", "main"), inputs)
