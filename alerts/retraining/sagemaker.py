"""SageMaker Pipelines: StartPipelineExecution, whose ClientRequestToken is the request's id: AWS begins one execution for it.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html by botocore (the extra `sagemaker`),
with its own search for credentials where none are given. A value has at most 1024 characters: a longer one is replaced by
where to read it, the job asks GET /v1/retrains/{id}. The pipeline must declare the parameters.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from alerts.backoff import parse_retry_after
from alerts.channels.address import UnsafeAddress, check_target
from alerts.channels.base import Failed, Retry
from alerts.retraining.adapter import PollOutcome, Started, StartOutcome
from alerts.retraining.client import Client, shortened
from alerts.retraining.options import Options, client_of, mapped, mapping_of, need_package, safe_name, text_of, too_long
from alerts.retraining.request import RetrainRequest

VALUE_CHARS_MOST = 1024
BUSY = ("ThrottlingException", "Throttling", "RequestLimitExceeded", "ResourceLimitExceeded", "ConflictException")
HINTS = {
    "ValidationException": "does the pipeline declare these parameters? map others with `parameters`",
    "ResourceNotFound": "there is no such pipeline in this region",
    "AccessDeniedException": "the credentials lack sagemaker:StartPipelineExecution or DescribePipelineExecution",
}
DEFAULT = {
    "RetrainId": "retrain_id", "Model": "model", "Version": "version", "Reason": "reason", "WindowStartMs": "window_start_ms",
    "WindowEndMs": "window_end_ms", "SinceMs": "since_ms", "Evidence": "evidence", "Lineage": "lineage", "Rows": "rows",
}  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class SageMakerAdapter:
    """client: for its address and limits. keys: (id, secret, session token) or () for botocore's own search."""

    client: Client
    pipeline: str
    region: str
    keys: tuple[str, ...]
    parameters: dict[str, str]
    made: dict[str, Any] = field(default_factory=dict)  # botocore's client, once there is one

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        values = {k: bounded(v, request.id) for k, v in mapped(self.parameters, request).items()}
        got = self._call(
            "start_pipeline_execution", now_ms, PipelineName=self.pipeline, ClientRequestToken=token_of(request.id),
            PipelineExecutionDisplayName=safe_name(request.id, 82),
            PipelineExecutionDescription=f"driftd: {request.model} {request.version}, {request.reason}".replace("\n", " ")[:3000],
            PipelineParameters=[{"Name": k, "Value": v} for k, v in values.items()],
        )  # fmt: skip
        if not isinstance(got, dict):
            return got
        arn = got.get("PipelineExecutionArn")
        return Started(arn) if isinstance(arn, str) and arn else self.client.unclear("PipelineExecutionArn")

    def poll(self, run: str, now_ms: int) -> PollOutcome:
        got = self._call("describe_pipeline_execution", now_ms, PipelineExecutionArn=run)
        if isinstance(got, Failed) and "ResourceNotFound" in got.error:
            return self.client.gone(run)
        if not isinstance(got, dict):
            return self.client.not_told(got, run)
        bad = ("Failed", "Stopped", "CompletedWithFailures")
        return self.client.told(got.get("PipelineExecutionStatus"), ("Succeeded",), bad, got.get("FailureReason"))

    def _call(self, operation: str, now_ms: int, **arguments: Any) -> dict[str, Any] | Retry | Failed:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError, ParamValidationError

        try:
            if self.client.base:
                check_target(self.client.base, self.client.allow_private)
            found: dict[str, Any] = getattr(self._aws(), operation)(**arguments)
        except UnsafeAddress as error:
            return Failed(str(error))
        except ClientError as error:
            return refused(error.response, now_ms)
        except (NoCredentialsError, ParamValidationError) as error:
            return Failed(f"SageMaker cannot be asked: {type(error).__name__}: check credentials, region and names")
        except (HTTPClientError, OSError) as error:
            return Retry(None, f"SageMaker does not answer: {type(error).__name__}")
        except (
            BotoCoreError,
            ValueError,
            AttributeError,
            TypeError,
            LookupError,
            RecursionError,
        ) as error:  # botocore reads a dict
            return Retry(None, f"SageMaker's answer cannot be used: {type(error).__name__}")
        return found

    def _aws(self) -> Any:
        if "client" in self.made:
            return self.made["client"]
        from botocore.config import Config

        limits = Config(
            connect_timeout=self.client.timeout_s, read_timeout=self.client.timeout_s, retries={"total_max_attempts": 1}
        )  # fmt: skip
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        keys = {name: key for name, key in zip(names, self.keys, strict=False) if key}
        self.made["client"] = _session().create_client(
            "sagemaker", region_name=self.region, endpoint_url=self.client.base or None, config=limits, **keys
        )
        return self.made["client"]


@cache
def _session() -> Any:
    """One for all: it keeps AWS's description of the service, which takes a while to read."""
    from botocore.session import get_session

    return get_session()


def token_of(request_id: str) -> str:
    """The id itself where it has the 32 to 128 characters that AWS wants, else its digest."""
    return request_id if 32 <= len(request_id) <= 128 and request_id.isascii() else hashlib.sha256(request_id.encode()).hexdigest()


def bounded(value: str, request_id: str) -> str:
    if len(value) <= VALUE_CHARS_MOST:
        return value
    return json.dumps(too_long(len(value), request_id))


def refused(response: Any, now_ms: int) -> Retry | Failed:
    """Of an error that AWS tells; throttling has status 400."""
    error, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    code, status = shortened(str(error.get("Code", ""))), int(meta.get("HTTPStatusCode", 0))
    if code in BUSY or status in (408, 425, 429) or status >= 500:
        after = parse_retry_after((meta.get("HTTPHeaders") or {}).get("retry-after"), now_ms)
        return Retry(after, f"SageMaker answered {status} {code}")
    usual = "check the credentials and their rights" if status in (401, 403) else "check the region, the names and the parameters"
    return Failed(f"SageMaker answered {status} {code}: {HINTS.get(code, usual)}")


def build(options: Options) -> SageMakerAdapter:
    need_package("botocore", "sagemaker")
    key, secret = text_of(options, "access_key_id"), text_of(options, "secret_access_key")
    if bool(key) != bool(secret):
        raise ValueError("adapter sagemaker: give access_key_id and secret_access_key_env, or none of them")
    keys = (key, secret, text_of(options, "session_token")) if key else ()
    mapping = mapping_of(options, DEFAULT, r"[A-Za-z0-9_-]{1,256}")
    client = client_of({**options, "token": None}, "SageMaker")
    return SageMakerAdapter(client, text_of(options, "pipeline"), text_of(options, "region"), keys, mapping)
