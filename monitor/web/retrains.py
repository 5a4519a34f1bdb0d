"""/v1/retrains: what was asked of training pipelines; approving, rejecting, and the job's own report.

A job reports with the scope `act`, or signed like a webhook (Standard Webhooks) with the secret of its retrain channel: then it
needs no token, the id is its own, and a report that comes twice changes nothing.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from alerts.channels.webhook import decode_secret
from alerts.retraining.policy import Status
from monitor.web.access import Access, Caller
from monitor.web.act import Words
from monitor.web.deeds import author_of, done
from monitor.web.refusal import Refusal, refusals
from monitor.web.shapes import Cursor, Limit, Page, Text, page_of

RetrainId = Annotated[str, Path(max_length=64)]
SIGNED_WITHIN_S = 300
_ANSWERS = refusals(
    {
        400: "What was given cannot be.",
        404: "There is no such retrain.",
        409: "It is not in a state for that.",
    }
)


class Report(BaseModel):
    """What a job says of itself. version: of the new model. reference: a built one that fits it."""

    model_config = ConfigDict(extra="forbid")
    status: Literal["started", "succeeded", "failed"]
    version: str = Field("", max_length=200)
    detail: str = Field("", max_length=1000)
    reference: str = Field("", max_length=200)


def retrain_routes(
    store: Any, clock: Callable[[], int], access: Access, secrets: Callable[[str], tuple[str, ...]],
    reads: Callable[..., Caller], acts: Callable[..., Caller],
) -> APIRouter:  # fmt: skip
    """secrets: those of a retrain channel, by its name."""
    router = APIRouter(prefix="/v1/retrains", tags=["retrains"], responses=_ANSWERS)
    ledger = store.retrains

    def reporter(retrain: RetrainId, request: Request) -> Caller:
        """Whoever may act; a signature is looked at with the body."""
        if "webhook-signature" in request.headers:
            return Caller("job")
        return access.admit(request.headers.get("authorization", ""), "act")

    @router.get("", dependencies=[Depends(reads)])
    def retrains(
        model: Text = None, status: Status | None = None, limit: Limit = 100, cursor: Cursor = None
    ) -> Page:  # fmt: skip
        """Retrains, newest first."""
        return page_of(ledger.listed(model, status, limit, cursor))

    @router.get("/{retrain}", dependencies=[Depends(reads)])
    def one(retrain: RetrainId) -> dict[str, Any]:
        """One retrain: what was asked and why, how it went, whether it helped."""
        return done(lambda: ledger.get(retrain))

    @router.post("/{retrain}/approve", dependencies=[Depends(acts)])
    def approve(retrain: RetrainId, words: Words, who: Annotated[Caller, Depends(acts)]) -> dict[str, Any]:
        """Let a proposed retrain begin."""
        return done(lambda: ledger.approve(retrain, author_of(who, words.author), words.comment, clock()))

    @router.post("/{retrain}/reject", dependencies=[Depends(acts)])
    def reject(retrain: RetrainId, words: Words, who: Annotated[Caller, Depends(acts)]) -> dict[str, Any]:
        """End a proposed retrain before it begins."""
        return done(lambda: ledger.reject(retrain, author_of(who, words.author), words.comment, clock()))

    @router.post("/{retrain}/reference", dependencies=[Depends(acts)])
    def reference(retrain: RetrainId, words: Words, who: Annotated[Caller, Depends(acts)]) -> dict[str, Any]:
        """Make the reference that the job named the model's active one."""
        return done(lambda: ledger.switch_reference(retrain, author_of(who, words.author), words.comment, clock()))

    @router.post("/{retrain}")
    async def report(
        retrain: RetrainId, said: Report, request: Request, who: Annotated[Caller, Depends(reporter)]
    ) -> dict[str, Any]:  # fmt: skip
        """The job's report: started, succeeded with the new version, or failed."""
        if "webhook-signature" in request.headers:
            row = done(lambda: ledger.get(retrain))
            _check_signature(request, await request.body(), secrets(row["channel"]), clock())
        author = who.name or "job"
        return done(lambda: ledger.report(retrain, said.status, clock(), said.version, said.detail, said.reference, author))

    return router


def reset_route(store: Any, clock: Callable[[], int], models: set[str], acts: Callable[..., Caller]) -> APIRouter:
    """POST /v1/models/{model}/retrains/reset: go on after retrains that did not help."""
    router = APIRouter(prefix="/v1/models", tags=["retrains"], responses=_ANSWERS)

    @router.post("/{model}/retrains/reset", dependencies=[Depends(acts)])
    def reset(
        model: Annotated[str, Path(max_length=200)], words: Words, who: Annotated[Caller, Depends(acts)]
    ) -> dict[str, Any]:  # fmt: skip
        """Say that somebody has looked: retrains that did not help count no more."""
        if model not in models:
            raise Refusal(404, f"there is no model {model[:100]!r}; the config has {', '.join(sorted(models))}")
        store.retrains.reset(model, author_of(who, words.author), words.comment, clock())
        return {"model": model, "reset": True}

    return router


def _check_signature(request: Request, body: bytes, secrets: tuple[str, ...], now_ms: int) -> None:
    """Raises Refusal: 401 for a signature that none of the secrets made, or one that is too old."""
    message_id, at = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
    if not at.isdigit() or abs(now_ms / 1000 - int(at)) > SIGNED_WITHIN_S:
        raise Refusal(401, f"webhook-timestamp must be within {SIGNED_WITHIN_S} s of now, in seconds since 1970")
    signed = f"{message_id}.{at}.".encode() + body
    given = [part.removeprefix("v1,") for part in request.headers["webhook-signature"].split()]
    for secret in secrets:
        made = base64.b64encode(hmac.new(decode_secret(secret), signed, hashlib.sha256).digest()).decode()
        if any(hmac.compare_digest(made.encode(), g.encode("utf-8", "replace")) for g in given):
            return
    raise Refusal(401, "webhook-signature fits no secret of the retrain channel")
