"""The adapters by the name that `adapter` has in a retrain channel's config.

Options are plain values; whoever reads the config has already read secrets from the environment or a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from alerts.retraining import (
    airflow,
    argo,
    argo_events,
    command,
    dagster,
    github,
    gitlab,
    jenkins,
    kubeflow,
    prefect,
    sagemaker,
    vertex,
    webhook,
)  # fmt: skip
from alerts.retraining.adapter import Adapter

Options = Mapping[str, Any]
COMMON = ("allow_private", "timeout_s")


@dataclass(frozen=True, slots=True)
class AdapterType:
    """How an adapter is built, and which options mean something for it, besides COMMON.

    required: those that must be there. once, polled: for people; how a repeat is known, and how the end is.
    """

    build: Callable[[Options], Adapter]
    options: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()  # those of the options that are secrets
    required: tuple[str, ...] = ()
    once: str = ""
    polled: str = "yes"
    address: Callable[[Options], str] = lambda options: str(options.get("url") or "")  # where it connects to, "" for nowhere


ADAPTERS: dict[str, AdapterType] = {
    "webhook": AdapterType(
        webhook.build, ("url", "secret", "old_secret"), ("secret", "old_secret"), ("url",),
        "`webhook-id` is the retrain's id", "no, the job reports back",
    ),
    "airflow": AdapterType(
        airflow.build, ("url", "dag", "airflow", "token", "username", "password"), ("token", "password"), ("url", "dag"),
        "`dag_run_id`",
    ),
    "argo": AdapterType(
        argo.build, ("url", "namespace", "template", "kind", "parameters", "token"), ("token",), ("url", "namespace", "template"),
        "the workflow's name", "yes, and its output `version`",
    ),
    "argo_events": AdapterType(
        argo_events.build, ("url", "token"), ("token",), ("url",),
        "the sensor names the workflow after `name`", "no, the job reports back",
    ),
    "kubeflow": AdapterType(
        kubeflow.build,
        ("url", "pipeline", "pipeline_version", "experiment", "namespace", "service_account", "parameters", "token"),
        ("token",), ("url", "pipeline"), "a run of its name is looked for",
    ),
    "github": AdapterType(
        github.build, ("url", "repository", "workflow", "event_type", "ref", "parameters", "token"), ("token",),
        ("repository", "token"), "`run-name` must hold the id", address=lambda o: str(o.get("url") or github.URL),
    ),
    "gitlab": AdapterType(
        gitlab.build, ("url", "project", "ref", "parameters", "trigger_token", "token"), ("trigger_token", "token"),
        ("project", "trigger_token", "token"), "`workflow:name` must hold `$DRIFTD_RETRAIN_ID`",
        address=lambda o: str(o.get("url") or gitlab.URL),
    ),
    "jenkins": AdapterType(
        jenkins.build, ("url", "job", "parameters", "username", "token"), ("token",), ("url", "job", "username", "token"),
        "parameter `RETRAIN_ID`",
    ),
    "sagemaker": AdapterType(
        sagemaker.build,
        ("url", "pipeline", "region", "parameters", "access_key_id", "secret_access_key", "session_token"),
        ("secret_access_key", "session_token"), ("pipeline", "region"), "`ClientRequestToken`",
        address=lambda o: str(o.get("url") or f"https://api.sagemaker.{o.get('region')}.amazonaws.com"),
    ),
    "vertex": AdapterType(
        vertex.build, ("url", "project", "region", "template", "output", "service_account", "parameters", "token"), ("token",),
        ("project", "region", "template", "output"), "`pipelineJobId`",
        address=lambda o: str(o.get("url") or vertex.url_of(str(o.get("region")))),
    ),
    "dagster": AdapterType(
        dagster.build, ("url", "location", "repository", "job", "config_path", "parameters", "token"), ("token",),
        ("url", "location", "job"), "tag `driftd/retrain_id`", "yes, and its tag `driftd/new_version`",
    ),
    "prefect": AdapterType(
        prefect.build, ("url", "deployment", "parameters", "token", "username", "password"), ("token", "password"),
        ("url", "deployment"), "`idempotency_key`",
    ),
    "command": AdapterType(
        command.build, ("argv", "directory", "time_limit_seconds", "environment"), (), ("argv", "directory"),
        "its directory", 'yes, and `{"version": ...}` as the last line of its output',
    ),
}  # fmt: skip


def build_adapter(name: str, options: Options) -> Adapter:
    """Raises ValueError that says what is missing or not known."""
    if name not in ADAPTERS:
        raise ValueError(f"retrain adapter is {name!r}, must be one of {', '.join(ADAPTERS)}")
    kind = ADAPTERS[name]
    known = (*kind.options, "allow_private")
    for option in options:
        if option not in (*known, *COMMON):
            close = get_close_matches(str(option), known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"adapter {name} knows no option {option!r}{hint} it has {', '.join(known)}")
    missing = [option for option in kind.required if options.get(option) in (None, "")]
    if missing:
        what = [f"{m}_env (or {m}_file)" if m in kind.secrets else m for m in missing]
        raise ValueError(f"adapter {name}: {', '.join(what)} {'is' if len(what) == 1 else 'are'} missing")
    return kind.build(options)
