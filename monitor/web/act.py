"""POST and DELETE /v1/…: what people do. Each needs the scope `act`, and leaves a row in the audit trail."""

from collections.abc import Callable, Collection
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from monitor.web.access import Caller
from monitor.web.deeds import author_of, done
from monitor.web.refusal import refusals

AlertId = Annotated[str, Path(max_length=64)]
_ANSWERS = refusals(
    {
        400: "What was given cannot be.",
        404: "There is no such thing.",
        409: "It is not in a state for that.",
    }
)


class Words(BaseModel):
    """Who says it, and why. The author is the token's name where a token is needed."""

    model_config = ConfigDict(extra="forbid")
    author: str = Field("", max_length=200)
    comment: str = Field("", max_length=2000)


class NewSilence(BaseModel):
    """What to keep quiet: matchers as in a route, times in ms since 1970 UTC; starts_ms null is now."""

    model_config = ConfigDict(extra="forbid")
    matchers: dict[str, str | list[str]] = Field(min_length=1, max_length=20)
    starts_ms: int | None = Field(None, ge=0, le=2**53)
    ends_ms: int = Field(ge=0, le=2**53)
    author: str = Field("", max_length=200)
    reason: str = Field(min_length=1, max_length=2000)


def act_routes(
    store: Any, clock: Callable[[], int], tags: Collection[str], caller: Callable[..., Caller], guards: list[Any]
) -> APIRouter:  # fmt: skip
    """tags: of the models, by which alerts can be silenced too. caller: the dependency that admits and names who asks."""
    router = APIRouter(prefix="/v1", tags=["act"], dependencies=guards, responses=_ANSWERS)
    Asks = Annotated[Caller, Depends(caller)]

    @router.post("/alerts/{alert}/ack")
    def ack(alert: AlertId, words: Words, who: Asks) -> dict[str, Any]:
        """Take an alert: it is not repeated and does not escalate any more."""
        return done(lambda: store.actions.ack(alert, author_of(who, words.author), words.comment, clock()))

    @router.post("/alerts/{alert}/unack")
    def unack(alert: AlertId, words: Words, who: Asks) -> dict[str, Any]:
        """Give an alert back: repeats and escalation begin anew."""
        return done(lambda: store.actions.unack(alert, author_of(who, words.author), words.comment, clock()))

    @router.post("/silences", status_code=201)
    def silence(new: NewSilence, who: Asks) -> dict[str, Any]:
        """Keep what matches quiet for a time, with a reason."""
        now_ms = clock()
        starts_ms = now_ms if new.starts_ms is None else new.starts_ms
        author = author_of(who, new.author)
        return done(lambda: store.actions.silence(new.matchers, starts_ms, new.ends_ms, author, new.reason, now_ms, tags))

    @router.delete("/silences/{silence}")
    def unsilence(silence: Annotated[str, Path(max_length=64)], who: Asks) -> dict[str, Any]:
        """End a silence now."""
        return done(lambda: store.actions.unsilence(silence, author_of(who, ""), "ended over HTTP", clock()))

    return router
