"""Local stand-ins of the systems that run retraining jobs: each refuses what the real one would refuse, after its public
documentation, and plays the states of its runs. test_retrain_adapters.py holds every adapter to one contract against them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

TOKEN = "canary-token-7c1f"
PASSWORD = "canary-password-91ab"
CANARIES = (TOKEN, PASSWORD, "canary-trigger-55d0", "canary-secret-key-3e", "Y2FuYXJ5LXNlY3JldC1jYW5hcnktc2VjcmV0")
BEARER = {"authorization": f"Bearer {TOKEN}"}


class Refusal(Exception):
    """status and body of an error."""

    def __init__(self, status: int, said: str = "") -> None:
        super().__init__(said)
        self.status, self.said = status, said


def need(condition: object, status: int, said: str = "") -> None:
    if not condition:
        raise Refusal(status, said)


class System:
    """runs: what was begun, by the system's own id. answer: the next answers, instead of the true ones. drop: the number of
    answers that are lost after the system acted."""

    name = ""
    options: dict[str, object] = {}
    states: dict[str, object] = {}
    polled = True
    version = ""  # that the system can name
    credentials = BEARER

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, object]] = {}
        self.seen: list[tuple[str, str, str]] = []
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        self.drop = 0
        self.refused: list[str] = []

    def begin(self, run: str, carried: object, **more: object) -> dict[str, object]:
        self.runs[run] = {"carried": json.dumps(carried, ensure_ascii=False), "state": self.states["running"], **more}
        return self.runs[run]

    def end(self, how: str) -> None:
        for run in self.runs.values():
            run["state"] = self.states[how]

    def authenticate(self, headers) -> None:
        for name, value in self.credentials.items():
            need(headers.get(name) == value, 401, "bad credentials")

    def handle(self, method: str, path: list[str], query: dict[str, str], headers, body: bytes):
        raise NotImplementedError


def parsed(body: bytes, headers) -> dict:
    need(headers.get("content-type", "").startswith("application/json"), 415, "not JSON")
    found = json.loads(body)
    need(isinstance(found, dict), 400)
    return found


@contextmanager
def serving(system: System) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            system.seen.append((self.command, self.path, body.decode(errors="replace")))
            if system.answer is not None:
                return self.reply(*system.answer)
            headers = {k.lower(): v for k, v in self.headers.items()}
            path = [unquote(p) for p in parts.path.split("/")[1:]]
            query = {k: v[0] for k, v in parse_qs(parts.query).items()}
            before = len(system.runs)
            try:
                system.authenticate(headers)
                status, more, data = system.handle(self.command, path, query, headers, body)
            except Refusal as refusal:
                system.refused.append(f"{refusal.status} {refusal.said}")
                return self.reply(refusal.status, {}, json.dumps({"message": refusal.said}).encode())
            if system.drop and len(system.runs) > before:
                system.drop -= 1
                self.close_connection = True
                return None
            return self.reply(status, more, b"" if data is None else json.dumps(data).encode())

        do_GET = do_POST

        def reply(self, status, headers, body):
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Webhook(System):
    name, polled = "webhook", False
    options = {"secret": "whsec_" + base64.b64encode(b"canary-secret-canary-secret").decode()}
    states = {"running": ""}
    credentials: dict[str, str] = {}

    def handle(self, method, path, query, headers, body):
        need(method == "POST" and headers.get("webhook-signature", "").startswith("v1,"), 401)
        data, key = parsed(body, headers), headers["webhook-id"]
        need(data["idempotency_key"] == key or key.startswith("driftd-"), 400)
        if key not in self.runs:
            self.begin(key, data)
        return 202, {}, {}


class Airflow3(System):
    name, major = "airflow", 3
    options = {"dag": "re train/é", "username": "driftd", "password": PASSWORD}
    states = {"queued": "queued", "running": "running", "succeeded": "success", "failed": "failed"}

    def authenticate(self, headers):
        pass  # /auth/token needs none; the others are looked at below

    def handle(self, method, path, query, headers, body):
        if path == ["auth", "token"]:
            need(self.major == 3, 404)
            data = parsed(body, headers)
            need(data == {"username": "driftd", "password": PASSWORD}, 401)
            return 201, {}, {"access_token": TOKEN}
        need(headers.get("authorization") == self.wanted(), 401)
        need(path[:5] == ["api", f"v{self.major - 1}", "dags", "re train/é", "dagRuns"], 404, "no such dag")
        if method == "POST":
            data = parsed(body, headers)
            allowed = {"dag_run_id", "conf", "note", "logical_date", "data_interval_start", "data_interval_end"}
            need(set(data) <= allowed and isinstance(data["conf"], dict), 422, "extra fields")
            if self.major == 3:
                need("logical_date" in data, 422, "logical_date: field required")
            else:
                need(data.get("logical_date", "") is not None, 400, "None is not of type string")
            run = data["dag_run_id"]
            need(re.fullmatch(r"[A-Za-z0-9_.~:+-]{1,250}", run), 400, "dag_run_id does not match the pattern")
            need(run not in self.runs, 409, "already exists")
            self.begin(run, data["conf"])
            return 200, {}, {"dag_run_id": run, "state": "queued"}
        need(len(path) == 6 and path[5] in self.runs, 404)
        return 200, {}, {"dag_run_id": path[5], "state": self.runs[path[5]]["state"]}

    def wanted(self):
        return f"Bearer {TOKEN}"


class Airflow2(Airflow3):
    major = 2
    options = {"dag": "re train/é", "airflow": 2, "username": "driftd", "password": PASSWORD}

    def wanted(self):
        return "Basic " + base64.b64encode(f"driftd:{PASSWORD}".encode()).decode()


class Argo(System):
    name, version = "argo", "7"
    options = {"namespace": "ml", "template": "retrain", "token": TOKEN}
    states = {"queued": "", "running": "Running", "succeeded": "Succeeded", "failed": "Failed"}

    def handle(self, method, path, query, headers, body):
        need(path[:4] == ["api", "v1", "workflows", "ml"], 404)
        if method == "POST":
            data = parsed(body, headers)
            need(path[4:] == ["submit"] and set(data) <= {"namespace", "resourceKind", "resourceName", "submitOptions"}, 400)
            need(data["resourceKind"] in ("WorkflowTemplate", "ClusterWorkflowTemplate") and data["resourceName"] == "retrain", 404)
            given = data["submitOptions"]
            need(re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", given["name"]) and len(given["name"]) <= 63, 400, "bad name")
            need(all("=" in p for p in given["parameters"]) and given["labels"].count("=") == 1, 400)
            need(given["name"] not in self.runs, 409, "already exists")
            self.begin(given["name"], dict(p.split("=", 1) for p in given["parameters"]))
            return 200, {}, {"metadata": {"name": given["name"], "namespace": "ml"}}
        need(path[4] in self.runs, 404)
        status = {"phase": self.runs[path[4]]["state"], "outputs": {"parameters": [{"name": "version", "value": "7"}]}}
        return 200, {}, {"metadata": {"name": path[4]}, "status": status}


class ArgoEvents(System):
    """The event source takes all; the sensor makes a workflow of the name in the body, and Kubernetes has one of each name."""

    name, polled = "argo_events", False
    options = {"token": TOKEN}
    states = {"running": ""}

    def handle(self, method, path, query, headers, body):
        need(method == "POST", 405)
        data = parsed(body, headers)
        need(re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", data["name"]) and len(data["name"]) <= 63, 500)
        if data["name"] not in self.runs:
            self.begin(data["name"], data)
        return 200, {}, None


class Kubeflow(System):
    name = "kubeflow"
    options = {"pipeline": "p-1", "pipeline_version": "v-2", "namespace": "ml", "token": TOKEN}
    states = {"queued": "PENDING", "running": "RUNNING", "succeeded": "SUCCEEDED", "failed": "FAILED"}

    def handle(self, method, path, query, headers, body):
        need(path[:3] == ["apis", "v2beta1", "runs"], 404)
        if method == "POST":
            data = parsed(body, headers)
            allowed = {
                "display_name",
                "description",
                "pipeline_version_reference",
                "runtime_config",
                "experiment_id",
                "service_account",
            }
            need(set(data) <= allowed, 400, "unknown field")
            need(data["pipeline_version_reference"] == {"pipeline_id": "p-1", "pipeline_version_id": "v-2"}, 404)
            need(set(data["runtime_config"]["parameters"]) <= {"retrain_id", "request"}, 400, "parameter is not in the pipeline")
            run = f"run-{len(self.runs)}"
            self.begin(run, data["runtime_config"]["parameters"], title=data["display_name"])
            return 200, {}, {"run_id": run, "display_name": data["display_name"], "state": "PENDING"}
        if len(path) == 3:
            (wanted,) = json.loads(query["filter"])["predicates"]
            need(wanted["operation"] == "EQUALS" and wanted["key"] == "display_name" and query["namespace"] == "ml", 400)
            found = [
                {"run_id": k, "display_name": r["title"]} for k, r in self.runs.items() if r["title"] == wanted["string_value"]
            ]
            return 200, {}, {"runs": found, "total_size": len(found)} if found else {}
        need(path[3] in self.runs, 404)
        return 200, {}, {"run_id": path[3], "state": self.runs[path[3]]["state"]}


class GitHubWorkflow(System):
    name = "github"
    options = {"repository": "acme/models", "workflow": "retrain.yml", "token": TOKEN}
    states = {
        "queued": ("queued", None), "running": ("in_progress", None), "succeeded": ("completed", "success"),
        "failed": ("completed", "failure"),
    }  # fmt: skip
    event, tells_run = "workflow_dispatch", True
    extra: dict[str, object] = {}

    def handle(self, method, path, query, headers, body):
        need(headers.get("user-agent"), 403, "Request forbidden by administrative rules")
        need(headers.get("accept") == "application/vnd.github+json", 415)
        need(path[:3] == ["repos", "acme", "models"], 404)
        rest = path[3:]
        if method == "POST":
            need(len(body) < 65_536, 422, "too large")
            return self.dispatched(rest, parsed(body, headers))
        if rest[:2] == ["actions", "runs"] and len(rest) == 3:
            need(rest[2] in self.runs, 404)
            return 200, {}, self.shown(rest[2])
        listing = ["actions", "workflows", "retrain.yml", "runs"] if self.event == "workflow_dispatch" else ["actions", "runs"]
        need(rest == listing and query["event"] == self.event and int(query["per_page"]) <= 100, 404)
        return 200, {}, {"total_count": len(self.runs), "workflow_runs": [self.shown(r) for r in reversed(self.runs)]}

    def dispatched(self, rest, data):
        need(rest == ["actions", "workflows", "retrain.yml", "dispatches"], 404)
        permitted = {"ref", "inputs"} | ({"return_run_details"} if self.tells_run else set())
        need(set(data) <= permitted, 422, "is not a permitted key")
        need(data["ref"] == "main", 422, "No ref found")
        need(set(data["inputs"]) <= {"retrain_id", "request"}, 422, "Unexpected inputs provided")
        need(len(data["inputs"]) <= 25 and all(isinstance(v, str) for v in data["inputs"].values()), 422)
        run = self.started(data["inputs"], data["inputs"]["retrain_id"])
        if not self.tells_run:
            return 204, {}, None
        return 200, {}, {"workflow_run_id": int(run), "html_url": f"https://github.example/runs/{run}"}

    def started(self, carried, retrain_id):
        run = str(1000 + len(self.runs))
        self.begin(run, carried, title=f"retrain {retrain_id}")
        return run

    def shown(self, run):
        status, conclusion = self.runs[run]["state"]
        page = f"https://github.example/runs/{run}"
        return {
            "id": int(run), "status": status, "conclusion": conclusion, "display_title": self.runs[run]["title"], "html_url": page,
        }  # fmt: skip


class GitHubServer(GitHubWorkflow):
    """A GitHub Enterprise Server that does not tell the run of a dispatch, and takes no unknown key."""

    tells_run = False


class GitHubEvent(GitHubWorkflow):
    options = {"repository": "acme/models", "event_type": "driftd-retrain", "token": TOKEN}
    event = "repository_dispatch"

    def dispatched(self, rest, data):
        need(rest == ["dispatches"] and set(data) == {"event_type", "client_payload"}, 404)
        need(len(data["event_type"]) <= 100 and len(data["client_payload"]) <= 10, 422, "No more than 10 properties are allowed")
        self.started(data["client_payload"], data["client_payload"]["retrain_id"])
        return 204, {}, None


class GitLab(System):
    name = "gitlab"
    options = {"project": "acme/risk models", "trigger_token": "canary-trigger-55d0", "token": TOKEN}
    states = {"queued": "created", "running": "running", "succeeded": "success", "failed": "failed"}
    credentials = {"private-token": TOKEN}

    def handle(self, method, path, query, headers, body):
        need(path[:4] == ["api", "v4", "projects", "acme/risk models"], 404)
        if method == "POST":
            need(path[4:] == ["trigger", "pipeline"], 404)
            form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            need(form.pop("token") == "canary-trigger-55d0", 404, "404 Not Found")
            need(form.pop("ref") == "main", 400, "Reference not found")
            variables = {k.removeprefix("variables[").removesuffix("]"): v for k, v in form.items()}
            need(all(re.fullmatch(r"[A-Za-z0-9_]+", k) for k in variables), 400, "key is invalid")
            run = str(70 + len(self.runs))
            self.begin(run, variables, title=f"retrain {variables['DRIFTD_RETRAIN_ID']}")
            return 201, {}, {"id": int(run), "status": "created", "web_url": f"https://gitlab.example/{run}"}
        if path[4:] == ["pipelines"]:
            need(query["source"] == "trigger" and int(query["per_page"]) <= 100, 400)
            return 200, {}, [{"id": int(r), "name": self.runs[r]["title"]} for r in reversed(self.runs)]
        need(path[4] == "pipelines" and path[5] in self.runs, 404)
        return 200, {}, {"id": int(path[5]), "status": self.runs[path[5]]["state"]}


class Jenkins(System):
    """A build waits in the queue until its state is told; the queue forgets it then, the build keeps the number."""

    name = "jenkins"
    options = {"job": "team one/retrain", "username": "driftd", "token": TOKEN}
    states = {"queued": "queue", "running": None, "succeeded": "SUCCESS", "failed": "FAILURE"}
    credentials = {"authorization": "Basic " + base64.b64encode(f"driftd:{TOKEN}".encode()).decode()}

    def handle(self, method, path, query, headers, body):
        job = ["job", "team one", "job", "retrain"]
        if method == "POST":
            need(path == [*job, "buildWithParameters"], 404)
            form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            known = {k: v for k, v in form.items() if k in ("RETRAIN_ID", "RETRAIN_REQUEST")}
            run = str(40 + len(self.runs))
            self.begin(run, known, parameters=known)["state"] = "queue"
            return 201, {"Location": f"http://jenkins.internal/queue/item/{run}/"}, None
        if path == ["queue", "api", "json"]:
            return 200, {}, {"items": [self.shown(r, "id") for r, v in self.runs.items() if v["state"] == "queue"]}
        if path == [*job, "api", "json"]:
            need("builds[" in query["tree"], 400)
            built = [r for r, v in self.runs.items() if v["state"] != "queue"]
            return 200, {}, {"builds": [self.shown(r, "queueId") for r in reversed(built)]}
        need(path[:2] == ["queue", "item"] and path[2] in self.runs and self.runs[path[2]]["state"] == "queue", 404)
        return 200, {}, {"id": int(path[2]), "why": "waiting for an executor"}

    def shown(self, run, number):
        parameters = [{"name": k, "value": v} for k, v in self.runs[run]["parameters"].items()]
        state = self.runs[run]["state"]
        return {number: int(run), "building": state is None, "result": state, "actions": [{}, {"parameters": parameters}]}


class SageMaker(System):
    name = "sagemaker"
    options = {
        "pipeline": "retrain-credit", "region": "eu-central-1", "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "canary-secret-key-3e",
    }  # fmt: skip
    states = {"queued": "Executing", "running": "Executing", "succeeded": "Succeeded", "failed": "Failed"}

    def authenticate(self, headers):
        need("Credential=AKIDEXAMPLE/" in headers.get("authorization", ""), 403)

    def handle(self, method, path, query, headers, body):
        data, operation = json.loads(body), headers["x-amz-target"].removeprefix("SageMaker.")
        if operation == "StartPipelineExecution":
            token, values = data["ClientRequestToken"], {p["Name"]: p["Value"] for p in data["PipelineParameters"]}
            need(data["PipelineName"] == "retrain-credit" and 32 <= len(token) <= 128, 400)
            need(re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}", data["PipelineExecutionDisplayName"]), 400)
            need(re.fullmatch(r".{0,3072}", data["PipelineExecutionDescription"]), 400)
            need(
                len(values) <= 200 and all(len(v) <= 1024 and re.fullmatch(r"[A-Za-z0-9_-]{1,256}", k) for k, v in values.items()),
                400,
            )
            arn = f"arn:aws:sagemaker:eu-central-1:123456789012:pipeline/retrain-credit/execution/{hashlib.sha256(token.encode()).hexdigest()[:12]}"
            declared = {
                "RetrainId",
                "Model",
                "Version",
                "Reason",
                "WindowStartMs",
                "WindowEndMs",
                "SinceMs",
                "Evidence",
                "Lineage",
                "Rows",
            }
            need(set(values) <= declared, 400, "parameters are not defined in the pipeline")
            if arn not in self.runs:
                self.begin(arn, values)
            return 200, {"Content-Type": "application/x-amz-json-1.1"}, {"PipelineExecutionArn": arn}
        arn = data["PipelineExecutionArn"]
        if operation != "DescribePipelineExecution" or arn not in self.runs:
            return 400, {}, {"__type": "ResourceNotFound", "Message": "Pipeline execution does not exist"}
        return 200, {}, {"PipelineExecutionArn": arn, "PipelineExecutionStatus": self.runs[arn]["state"]}


class Vertex(System):
    name = "vertex"
    options = {
        "project": "acme-ml", "region": "europe-west4", "output": "gs://acme/retrains", "token": TOKEN,
        "template": "https://europe-west4-kfp.pkg.dev/acme-ml/pipelines/retrain/latest",
    }  # fmt: skip
    states = {
        "queued": "PIPELINE_STATE_QUEUED", "running": "PIPELINE_STATE_RUNNING", "succeeded": "PIPELINE_STATE_SUCCEEDED",
        "failed": "PIPELINE_STATE_FAILED",
    }  # fmt: skip

    def handle(self, method, path, query, headers, body):
        need(path[:6] == ["v1", "projects", "acme-ml", "locations", "europe-west4", "pipelineJobs"], 404)
        if method == "POST":
            data, run = parsed(body, headers), query["pipelineJobId"]
            need(re.fullmatch(r"[a-z][a-z0-9-]{0,127}", run) and len(data["displayName"]) <= 128, 400)
            need(set(data) <= {"displayName", "templateUri", "runtimeConfig", "labels", "serviceAccount", "network"}, 400)
            config = data["runtimeConfig"]
            need(
                config["gcsOutputDirectory"].startswith("gs://") and set(config["parameterValues"]) == {"retrain_id", "request"},
                400,
            )
            need(run not in self.runs, 409, "ALREADY_EXISTS")
            self.begin(run, config["parameterValues"])
            return 200, {}, {"name": f"projects/1/locations/europe-west4/pipelineJobs/{run}", "state": "PIPELINE_STATE_PENDING"}
        need(len(path) == 7 and path[6] in self.runs, 404)
        return 200, {}, {"name": f"projects/1/locations/europe-west4/pipelineJobs/{path[6]}", "state": self.runs[path[6]]["state"]}


class Prefect(System):
    name = "prefect"
    options = {"deployment": "retrain flow/production", "token": TOKEN}
    states = {"queued": "SCHEDULED", "running": "RUNNING", "succeeded": "COMPLETED", "failed": "CRASHED"}
    known = "5e2c9f5e-3b7a-4a55-8a34-1f0f5a3c7a01"

    def handle(self, method, path, query, headers, body):
        if path[:2] == ["deployments", "name"]:
            need(path[2:] == ["retrain flow", "production"], 404)
            return 200, {}, {"id": self.known}
        if method == "POST":
            need(path == ["deployments", self.known, "create_flow_run"], 404)
            data = parsed(body, headers)
            allowed = {"name", "idempotency_key", "parameters", "tags", "state", "context", "labels", "work_queue_name"}
            need(set(data) <= allowed, 422, "extra inputs are not permitted")
            need(
                set(data["parameters"]) == {"request"} and isinstance(data["parameters"]["request"], dict), 409, "Validation failed"
            )
            known = next((r for r, v in self.runs.items() if v["key"] == data["idempotency_key"]), None)
            if known is None:
                known = f"flow-run-{len(self.runs)}"
                self.begin(known, data["parameters"], key=data["idempotency_key"])
            return 201, {}, {"id": known, "state_type": "SCHEDULED"}
        need(path[0] == "flow_runs" and path[1] in self.runs, 404)
        return 200, {}, {"id": path[1], "state_type": self.runs[path[1]]["state"], "state": {"message": None}}


# the part of Dagster's own schema that is used, after js_modules/dagster-ui/packages/ui-core/src/graphql/schema.graphql
DAGSTER_SCHEMA = """
scalar RunConfigData
enum RunStatus { QUEUED NOT_STARTED MANAGED STARTING STARTED SUCCESS FAILURE CANCELING CANCELED }
type PipelineTag { key: String! value: String! }
type Run { id: ID! runId: String! status: RunStatus! tags: [PipelineTag!]! }
type Runs { results: [Run!]! count: Int }
type PythonError { message: String! }
type InvalidPipelineRunsFilterError { message: String! }
type RunNotFoundError { runId: String! message: String! }
type LaunchRunSuccess { run: Run! }
type PipelineNotFoundError { message: String! }
type RunConfigValidationInvalid { pipelineName: String! }
union RunsOrError = Runs | InvalidPipelineRunsFilterError | PythonError
union RunOrError = Run | RunNotFoundError | PythonError
union LaunchRunResult = LaunchRunSuccess | PipelineNotFoundError | RunConfigValidationInvalid | PythonError
input ExecutionTag { key: String! value: String! }
input RunsFilter { runIds: [String] pipelineName: String tags: [ExecutionTag!] statuses: [RunStatus!] }
input JobOrPipelineSelector { jobName: String pipelineName: String repositoryName: String! repositoryLocationName: String! }
input ExecutionMetadata { runId: String tags: [ExecutionTag!] rootRunId: String parentRunId: String }
input ExecutionParams { selector: JobOrPipelineSelector! runConfigData: RunConfigData mode: String
                        executionMetadata: ExecutionMetadata stepKeys: [String!] preset: String }
type Query { runsOrError(filter: RunsFilter, cursor: String, limit: Int): RunsOrError! runOrError(runId: ID!): RunOrError! }
type Mutation { launchRun(executionParams: ExecutionParams!): LaunchRunResult! }
"""


class Dagster(System):
    name, version = "dagster", "7"
    options = {"location": "ml", "job": "retrain", "config_path": "ops.train.config", "token": TOKEN}
    states = {"queued": "QUEUED", "running": "STARTED", "succeeded": "SUCCESS", "failed": "FAILURE"}
    credentials = {"dagster-cloud-api-token": TOKEN}

    def handle(self, method, path, query, headers, body):
        from graphql import build_schema, graphql_sync

        need(method == "POST" and path == ["graphql"], 404)
        data = parsed(body, headers)
        schema = build_schema(DAGSTER_SCHEMA)
        roots = {"runsOrError": self.listed, "runOrError": self.one, "launchRun": self.launched}
        done = graphql_sync(schema, data["query"], roots, variable_values=data["variables"])
        need(not done.errors, 400, str(done.errors))
        return 200, {}, {"data": done.data}

    def shown(self, run):
        tags = [{"key": k, "value": v} for k, v in {**self.runs[run]["tags"], "driftd/new_version": "7"}.items()]
        return {"__typename": "Run", "id": run, "runId": run, "status": self.runs[run]["state"], "tags": tags}

    def listed(self, info, filter, limit):
        (wanted,) = filter["tags"]
        found = [r for r, v in self.runs.items() if v["tags"].get(wanted["key"]) == wanted["value"]]
        return {"__typename": "Runs", "results": [self.shown(r) for r in found[:limit]]}

    def one(self, info, runId):
        return self.shown(runId) if runId in self.runs else {"__typename": "RunNotFoundError"}

    def launched(self, info, executionParams):
        given = executionParams
        wanted = {"jobName": "retrain", "repositoryName": "__repository__", "repositoryLocationName": "ml"}
        if given["selector"] != wanted:
            return {"__typename": "PipelineNotFoundError"}
        if set(given["runConfigData"]["ops"]["train"]["config"]) != {"retrain_id", "request"}:
            return {"__typename": "RunConfigValidationInvalid"}
        run = f"run-{len(self.runs)}"
        tags = {t["key"]: t["value"] for t in given["executionMetadata"]["tags"]}
        self.begin(run, [given["runConfigData"], tags], tags=tags)
        return {"__typename": "LaunchRunSuccess", "run": self.shown(run)}


SYSTEMS: tuple[type[System], ...] = (
    Webhook, Airflow3, Airflow2, Argo, ArgoEvents, Kubeflow, GitHubWorkflow, GitHubServer, GitHubEvent, GitLab, Jenkins, SageMaker,
    Vertex, Prefect, Dagster,
)  # fmt: skip
