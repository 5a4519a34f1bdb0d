"""One contract for all retrain adapters: a request is carried whole, begun once however often it is started, followed to its end;
what a system or a network does wrong is an outcome, never an exception; secrets show nowhere."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from alerts.channels.base import Failed, Retry
from alerts.channels.retrain import RetrainChannel
from alerts.retraining.adapter import Finished, Running, Started
from alerts.retraining.adapters import ADAPTERS, build_adapter
from alerts.retraining.options import FIELDS, mapped, safe_name
from alerts.retraining.policy import RetrainPolicy
from alerts.retraining.request import RetrainRequest
from monitor.config import ConfigError, parse_config
from monitor.retraining import POLL_MS, Retraining
from monitor.store import open_store
from tests.retrain_systems import CANARIES, SYSTEMS, GitHubEvent, GitHubWorkflow, Jenkins, Vertex, serving

T0 = 1_790_000_000_000
REQUEST = RetrainRequest(
    "0b3f6f0e-8d7c-5a37-9d5e-2a4a5e1d7c10", "credit", "3.1", "channel=web", "performance accuracy breach", "performance",
    "accuracy-fell", "critical", "a1b2c3d4e5f60718", T0 - 60_000, T0, T0 - 3_600_000, "first_5_windows", "accuracy",
    {"value": 0.71, "threshold": 0.85}, {"mlflow_run_id": "run-abc", "dataset_version": "dvc-9f2"},
    {"query": "SELECT * FROM log WHERE v = '3.1'", "from_ms": T0 - 3_600_000},
)  # fmt: skip
CARRIED = (
    REQUEST.id, "credit", "3.1", "performance accuracy breach", str(T0 - 60_000), str(T0), str(T0 - 3_600_000), "0.71", "run-abc",
    "dvc-9f2", "SELECT * FROM log",
)  # fmt: skip
POLLED = [s for s in SYSTEMS if s.polled]
HTTP = [s for s in SYSTEMS if s.name != "sagemaker"]  # whose answers botocore reads; see the tests of its own


def ids(systems):
    return [s.__name__ for s in systems]


@pytest.fixture
def world(request):
    """A system that listens, and how to make a new adapter of it."""
    system = request.param()
    with serving(system) as url:

        def make(**more):
            return build_adapter(system.name, {"url": url, "allow_private": True, "timeout_s": 5.0, **system.options, **more})

        yield SimpleNamespace(system=system, url=url, make=make)


def each(systems):
    return pytest.mark.parametrize("world", systems, indirect=True, ids=ids(systems))


def test_every_adapter_is_held_to_the_contract():
    assert {s.name for s in SYSTEMS} | {"command"} == set(ADAPTERS)


@each(SYSTEMS)
def test_a_request_is_carried_whole(world):
    assert isinstance(world.make().start(REQUEST, T0), Started), world.system.refused
    ((_, run),) = world.system.runs.items()
    missing = [text for text in CARRIED if text not in run["carried"].replace("\\", "")]
    assert not missing and (not world.system.refused or world.system.refused == ["422 is not a permitted key"])


@each(SYSTEMS)
def test_a_repeated_start_begins_no_second_job(world):
    first = world.make().start(REQUEST, T0)
    again, other = world.make().start(REQUEST, T0 + 5_000), world.make().start(replace(REQUEST, id=REQUEST.id[:-1] + "f"), T0)
    assert isinstance(again, Started) and isinstance(other, Started)
    assert len(world.system.runs) == 2
    if world.system.polled:
        assert world.system.end("succeeded") or isinstance(world.make().poll(again.run, T0 + 6_000), Finished)
        assert isinstance(world.make().poll(first.run, T0 + 6_000), Finished)


@each(SYSTEMS)
def test_an_answer_that_is_lost_leads_to_no_second_job(world):
    world.system.drop = 1
    assert isinstance(world.make().start(REQUEST, T0), Retry) and len(world.system.runs) == 1
    assert isinstance(world.make().start(REQUEST, T0 + 1_000), Started) and len(world.system.runs) == 1


@each(POLLED)
def test_a_run_is_followed_to_its_end(world):
    adapter = world.make()
    run = adapter.start(REQUEST, T0).run
    for state in ("queued", "running"):
        world.system.end(state)
        assert isinstance(adapter.poll(run, T0), Running), state
    world.system.end("succeeded")
    done = adapter.poll(run, T0)
    assert isinstance(done, Finished) and done.succeeded and done.version == world.system.version
    world.system.end("failed")
    failed = adapter.poll(run, T0)
    assert isinstance(failed, Finished) and not failed.succeeded and failed.detail
    world.system.runs.clear()
    gone = adapter.poll(run, T0)
    if run.startswith("title:"):
        assert isinstance(gone, Running), "a run that is not listed may come"
    else:
        assert isinstance(gone, Finished) and not gone.succeeded and "not known" in gone.detail


@each([s for s in SYSTEMS if not s.polled])
def test_a_system_that_cannot_be_asked_waits_for_the_report(world):
    assert world.make().poll("", T0) is None


@each(SYSTEMS)
def test_trouble_that_passes_is_tried_again_when_the_system_says(world):
    adapter = world.make()
    for status in (408, 425, 429, 500, 503):
        world.system.answer = (status, {"Retry-After": "7"}, b'{"message": "later"}')
        for found in (adapter.start(REQUEST, T0), adapter.poll("driftd-1", T0) if world.system.polled else None):
            assert found is None or found == Retry(7_000, found.error), status


@each(SYSTEMS)
def test_what_is_refused_fails_with_a_hint(world):
    adapter = world.make()
    for status in (400, 401, 403, 404, 409, 422):
        world.system.answer = (status, {}, b'{"message": "no: canary-body"}')
        found = adapter.start(REQUEST, T0)
        if status == 409 and not isinstance(found, Failed):  # there is one of that name already
            assert isinstance(found, Started | Retry) and world.system.name in ("argo", "vertex", "airflow"), found
            continue
        assert isinstance(found, Failed) and str(status) in found.error and "canary" not in found.error
        assert status not in (401, 403, 404) or "check" in found.error
        if world.system.polled:
            polled = adapter.poll("driftd-1", T0)
            assert isinstance(polled, Retry) or (status == 404 and isinstance(polled, Finished))
            world.system.answer = (status, {}, b"<html>no backend</html>")
            assert isinstance(adapter.poll("driftd-1", T0), Retry), "a page that says 404 does not end a run"


GARBAGE = [b"", b"<html>log in</html>", b"{}", b"[]", b"null", b"7", b'{"id": {}, "state": []}', b'{"data": null}', b"[" * 100_000]


@each(SYSTEMS)
def test_an_answer_that_is_none_is_an_outcome(world):
    adapter = world.make()
    for status, body in ((status, body) for status in (200, 201, 302) for body in GARBAGE):
        world.system.answer = (status, {}, body)
        started = adapter.start(REQUEST, T0)
        if world.system.polled or status == 302:
            assert isinstance(started, Retry | Failed) and started.error, (status, body, started)
        else:
            assert isinstance(started, Started)
        if world.system.polled:
            for run in ("driftd-1", "title:x"):
                assert isinstance(adapter.poll(run, T0), Retry), (status, body)


@each(SYSTEMS)
def test_nobody_there_is_tried_again(world):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        adapter = world.make(url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert isinstance(adapter.start(REQUEST, T0), Retry)
        assert not world.system.polled or isinstance(adapter.poll("driftd-1", T0), Retry)


@each(SYSTEMS)
def test_a_private_address_is_refused_unless_it_is_allowed(world):
    found = world.make(allow_private=False).start(REQUEST, T0)
    assert isinstance(found, Failed) and "allow_private" in found.error and not world.system.seen


@each(SYSTEMS)
def test_names_from_events_do_no_harm(world):
    hostile = replace(
        REQUEST,
        id="../../x?y=1#z\r\nHost: evil\0é",
        model="../../m?x=1#\r\nX: y",
        version="v\"'</script>{{7*7}}\n",
        reason="é\0\u2028",
    )
    adapter = world.make()
    found = adapter.start(hostile, T0)
    assert isinstance(found, Started), (found, world.system.refused)
    assert not world.system.polled or isinstance(adapter.poll(found.run, T0), Running)
    assert all("evil" not in path and ".." not in path for _, path, _ in world.system.seen)
    polled = adapter.poll("../../admin?x=1#\r\nHost: evil", T0) if world.system.polled else None
    assert polled is None or isinstance(polled, Finished | Retry)
    assert all(".." not in path.split("/") for _, path, _ in world.system.seen)


@each(SYSTEMS)
def test_secrets_show_nowhere(world):
    adapter = world.make()
    said = [repr(adapter), str(adapter), repr(adapter.start(REQUEST, T0))]
    for status in (401, 403, 500):
        world.system.answer = (status, {}, json.dumps({"echo": CANARIES}).encode())
        said += [repr(adapter.start(REQUEST, T0)), repr(adapter.poll("driftd-1", T0))]
    said += [path for _, path, _ in world.system.seen]
    assert not [c for c in CANARIES for text in said if c in text]


@each([s for s in HTTP if any(k in ADAPTERS[s.name].secrets for k in s.options) and s.name != "webhook"])
def test_wrong_credentials_fail_with_a_hint(world):
    wrong = {k: "wrong" for k in world.system.options if k in ADAPTERS[world.system.name].secrets}
    found = world.make(**wrong).start(REQUEST, T0)
    assert isinstance(found, Failed) and "check the credentials" in found.error


# what belongs to one system


@each([GitHubWorkflow])
def test_githubs_rate_limit_is_no_refusal(world):
    world.system.answer = (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(T0 // 1000 + 90)}, b"{}")
    assert world.make().start(REQUEST, T0) == Retry(90_000, "GitHub's rate limit is reached")
    assert world.make().poll("1000", T0).after_ms == 90_000


@each([GitHubWorkflow, GitHubEvent])
def test_what_github_has_no_room_for_says_where_to_read_it(world):
    assert isinstance(world.make().start(replace(REQUEST, evidence={"cells": ["x" * 100] * 800}), T0), Started)
    ((_, run),) = world.system.runs.items()
    assert f"GET /v1/retrains/{REQUEST.id}" in run["carried"] and "run-abc" in run["carried"] and "xxx" not in run["carried"]
    found = world.make().start(replace(REQUEST, id="huge", reason="x" * 70_000), T0)
    assert isinstance(found, Failed) and "65000 bytes" in found.error


@each([GitHubWorkflow])
def test_an_id_is_found_in_a_title_as_a_word(world):
    world.make().start(replace(REQUEST, id="a-1-2"), T0)
    world.make().start(replace(REQUEST, id="a-1"), T0)
    assert len(world.system.runs) == 2


@each([Jenkins])
def test_a_build_that_waits_in_the_queue_is_the_one(world):
    first = world.make().start(REQUEST, T0)
    assert world.make().start(REQUEST, T0).run == first.run and len(world.system.runs) == 1
    world.system.end("running")
    assert world.make().start(REQUEST, T0).run == first.run and len(world.system.runs) == 1


def test_aws_throttles_with_status_400_and_long_values_are_replaced():
    from alerts.retraining import sagemaker

    response = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": {}}}
    assert sagemaker.refused(response, T0) == Retry(None, "SageMaker answered 400 ThrottlingException")
    assert json.loads(sagemaker.bounded("x" * 1025, "id-1")) == {"too_long": 1025, "read": "GET /v1/retrains/id-1"}
    assert sagemaker.bounded("x" * 1024, "id-1") == "x" * 1024 and len(sagemaker.token_of("short")) == 64


@each([Vertex])
def test_googles_own_credentials_are_found_and_their_token_kept(world, tmp_path, monkeypatch):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()  # fmt: skip
    file = tmp_path / "account.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    adapter = world.make(token=None)
    found = adapter.start(REQUEST, T0)
    assert isinstance(found, Failed) and "GOOGLE_APPLICATION_CREDENTIALS" in found.error
    asked = []
    handle, authenticate = world.system.handle, world.system.authenticate

    def token_too(method, path, query, headers, body):
        if path == ["token"]:
            asked.append(body)
            return 200, {}, {"access_token": world.system.options["token"], "expires_in": 3600, "token_type": "Bearer"}
        authenticate(headers)
        return handle(method, path, query, headers, body)

    world.system.handle, world.system.authenticate = token_too, lambda headers: None
    account = {"type": "service_account", "client_email": "d@acme.example", "private_key": pem, "token_uri": f"{world.url}/token"}
    file.write_text(json.dumps({**account, "project_id": "acme-ml", "private_key_id": "k"}))
    run = adapter.start(REQUEST, T0)
    assert isinstance(run, Started) and isinstance(adapter.poll(run.run, T0), Running) and len(asked) == 1


def test_names_are_the_same_for_the_same_request_and_fit():
    assert safe_name("key-1") == "driftd-key-1" and len(safe_name("x" * 200)) == 39 == len(safe_name("É"))
    assert set(mapped({f: f for f in FIELDS}, REQUEST)) == set(FIELDS) == {"request", *REQUEST.parameters()}


# a local program


@pytest.fixture
def program(tmp_path):
    """How to make a command adapter of a Python program."""

    def make(code, **more):
        options = {"argv": [sys.executable, "-I", "-c", code], "directory": str(tmp_path / "runs"), **more}
        return build_adapter("command", options)

    return make


def ended(adapter, run, now_ms=T0):
    """Its end, waited for: the supervisor is a process of its own."""
    deadline = time.monotonic() + 30
    while isinstance(found := adapter.poll(run, now_ms), Running):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_a_program_gets_the_request_and_its_exit_code_decides(program, tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTD_DB_PASSWORD", CANARIES[0])
    monkeypatch.setenv("TRAIN_BUCKET", "bucket-of-credit")
    code = f"""import sys, os, json
got = sys.stdin.read(); open({str(tmp_path / "got")!r}, "a").write(got + json.dumps(dict(os.environ)) + "\\n")
print("epoch 1"); print(json.dumps({{"version": "4"}})); print("bye")"""
    adapter = program(code, environment=["TRAIN_BUCKET"])
    run = adapter.start(REQUEST, T0).run
    assert ended(adapter, run) == Finished(True, "exit code 0", "4")
    assert adapter.start(REQUEST, T0 + 1).run.rpartition("/")[0] == run.rpartition("/")[0]
    assert ended(program("raise SystemExit(1)"), run) == Finished(True, "exit code 0", "4"), "another process finds the result"
    (got,) = (tmp_path / "got").read_text().splitlines()
    assert all(text in got.replace('\\"', '"') for text in CARRIED) and "TRAIN_BUCKET" in got and CANARIES[0] not in got
    assert "bucket-of-credit" not in repr(adapter)


def test_a_program_fails_by_its_code_its_time_or_because_it_is_not_there(program):
    adapter = program("import sys; sys.stderr.write('x' * 200000); sys.exit(3)")
    failed = ended(adapter, adapter.start(REQUEST, T0).run)
    assert not failed.succeeded and failed.detail.startswith("exit code 3; see ")
    slow = program("import time; time.sleep(60)", time_limit_seconds=0.2)
    late = ended(slow, slow.start(replace(REQUEST, id="late"), T0).run)
    assert not late.succeeded and "longer than 0.2 s" in late.detail
    nothing = program("", argv=["no-such-program-anywhere"]).start(replace(REQUEST, id="none"), T0)
    assert isinstance(nothing, Failed) and "no-such-program-anywhere" in nothing.error


def test_a_program_outlives_the_daemon_and_a_lost_one_is_said_to_be_lost(program, tmp_path):
    go, pid = tmp_path / "go", tmp_path / "pid"
    code = f"""import os, pathlib, time
pathlib.Path({str(pid)!r}).write_text(str(os.getppid()))
while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)"""
    first = program(code)
    run = first.start(REQUEST, T0).run
    assert isinstance(first.poll(run, T0), Running)
    second = program(code)
    assert isinstance(second.start(REQUEST, T0 + 1), Started) and isinstance(second.poll(run, T0), Running)
    go.touch()
    assert ended(second, run) == Finished(True, "exit code 0", "")
    go.unlink()
    pid.unlink()
    lost = first.start(replace(REQUEST, id="lost"), T0).run
    deadline = time.monotonic() + 30
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    found = ended(second, lost)
    assert not found.succeeded and found.detail.startswith("lost: it was stopped")
    assert isinstance(second.start(replace(REQUEST, id="lost"), T0), Started) and not ended(second, lost).succeeded
    go.touch()


def test_a_program_of_another_host_is_given_up_only_after_its_time(program):
    adapter = program("", time_limit_seconds=60)
    run = f"other-host/driftd-x/{T0}"
    assert isinstance(adapter.poll(run, T0 + 170_000), Running)
    found = adapter.poll(run, T0 + 181_000)
    assert not found.succeeded and "other-host" in found.detail
    assert isinstance(program("").poll("nonsense", T0), Running | Finished)


def test_the_driver_starts_follows_and_ends_a_run(program, tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/driftd.db")
    store.migrate()
    adapter = program("""import json, sys; print(json.dumps({"version": json.load(sys.stdin)["version"] + "-new"}))""")
    loop = Retraining(store, {"r": RetrainChannel(adapter, RetrainPolicy(), "r", store.retrains)}, {})
    assert store.retrains.propose("r", RetrainPolicy(), REQUEST, T0)[0] == "waiting"
    loop.step(T0)
    row = store.retrains.get(REQUEST.id)
    assert row["status"] == "started" and row["run"]
    ended(adapter, row["run"])
    loop.step(T0 + POLL_MS)
    row = store.retrains.get(REQUEST.id)
    store.close()
    assert row["status"] == "succeeded" and row["new_version"] == "3.1-new"


def test_an_unreadable_result_is_a_failure_and_an_unusable_directory_is_tried_again(program, tmp_path):
    adapter = program("")
    run = adapter.start(REQUEST, T0).run
    assert ended(adapter, run).succeeded
    (tmp_path / "runs" / safe_name(REQUEST.id) / "result.json").write_text("{half")
    assert not adapter.poll(run, T0).succeeded
    (tmp_path / "file").write_text("")
    assert isinstance(program("", directory=str(tmp_path / "file")).start(REQUEST, T0), Retry)


# what the check says

MINIMAL = {s.name: {**s.options, "url": "https://x.example"} for s in SYSTEMS} | {"command": {"argv": ["true"], "directory": "/x"}}


@pytest.mark.parametrize(("adapter", "option"), [(a, o) for a, kind in ADAPTERS.items() for o in kind.required])
def test_a_missing_option_is_named(adapter, option):
    given = {k: v for k, v in MINIMAL[adapter].items() if k != option}
    with pytest.raises(ValueError, match=f"adapter {adapter}: {option}"):
        build_adapter(adapter, given)


@pytest.mark.parametrize(
    ("adapter", "more", "says"),
    [
        ("airflow", {"password": None, "username": None}, "token_env"),
        ("airflow", {"airflow": 1}, "must be 2 or 3"),
        ("airflow", {"dagg": "x"}, "did you mean 'dag'"),
        ("argo", {"kind": "Workflow"}, "ClusterWorkflowTemplate"),
        ("argo", {"parameters": {"m": "modle"}}, "did you mean 'model'"),
        ("argo", {"parameters": "all"}, "NAME_IN_THE_SYSTEM"),
        ("github", {"workflow": "retrain.yml"}, "one of them"),
        ("github", {"repository": "models"}, "OWNER/NAME"),
        ("github", {"event_type": "x" * 101}, "100 characters"),
        ("gitlab", {"parameters": {"a-b": "model"}}, "no name that the system takes"),
        ("dagster", {"config_path": None, "parameters": {"a": "model"}}, "config_path"),
        ("vertex", {"output": "s3://x"}, "gs://"),
        ("vertex", {"template": "gs://x/p.yaml"}, "Artifact Registry"),
        ("prefect", {"deployment": "name"}, "FLOW/DEPLOYMENT"),
        ("sagemaker", {"secret_access_key": None}, "secret_access_key_env"),
        ("command", {"argv": "python train.py"}, "must be a list"),
        ("command", {"directory": "runs"}, "absolute path"),
        ("command", {"time_limit_seconds": 0}, "time_limit_seconds"),
        ("command", {"environment": "X"}, "names of variables"),
    ],
)
def test_what_is_wrong_in_an_option_is_said(adapter, more, says):
    given = {k: v for k, v in {**MINIMAL[adapter], **more}.items() if v is not None}
    with pytest.raises(ValueError, match=says):
        build_adapter(adapter, given)


@pytest.mark.parametrize(("adapter", "more"), [("sagemaker", {}), ("vertex", {"token": None})], ids=["sagemaker", "vertex"])
def test_an_extra_that_is_not_installed_is_named(adapter, more, monkeypatch):
    monkeypatch.setattr("alerts.retraining.options.find_spec", lambda module: None)
    with pytest.raises(ValueError, match=rf"pip install 'driftd\[{adapter}\]'"):
        build_adapter(adapter, {k: v for k, v in {**MINIMAL[adapter], **more}.items() if v is not None})


def channel(adapter, options, url="url: 'https://x.example', "):
    return (
        f"models: [{{name: credit}}]\nalerts: {{channels: {{r: {{type: retrain, adapter: {adapter}, {url}options: {options}}}}}}}"
    )


def test_the_check_points_at_the_option():
    with pytest.raises(ConfigError, match=r"t:2: .*r\.options\.dagg = \"x\": means nothing .*did you mean 'dag'") as caught:
        parse_config(channel("airflow", "{dagg: x, dag: y, token_env: T}"), "t")
    assert len(caught.value.problems) == 1
    with pytest.raises(ConfigError, match="a secret must not stand in the config"):
        parse_config(channel("airflow", "{dag: x, token: abc}"), "t")
    with pytest.raises(ConfigError, match="adapter argo: namespace, template are missing"):
        parse_config(channel("argo", "{}"), "t")
    with pytest.raises(ConfigError, match="allow_private"):
        parse_config(channel("argo", "{namespace: n, template: t}", "url: 'https://10.0.0.1', "), "t")


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_check_takes_what_is_right(adapter):
    secrets = ADAPTERS[adapter].secrets
    options = {f"{k}_env" if k in secrets else k: "NAME" if k in secrets else v for k, v in MINIMAL[adapter].items() if k != "url"}
    url = "" if adapter == "command" else "url: 'https://x.example', "
    if adapter == "webhook":
        options = {}
    cfg = parse_config(channel(adapter, json.dumps(options, ensure_ascii=False), url + "secret_env: REPORTS, "), "t")
    assert cfg.alerts.channels["r"].adapter == adapter
