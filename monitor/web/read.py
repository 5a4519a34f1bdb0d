"""GET /v1/…: what the page, scripts and people read. Nothing here changes anything.

Annotations are evaluated here, as FastAPI needs those that name local dependencies.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from monitor.health import Health
from monitor.looking import distribution
from monitor.model import Model
from monitor.store.actions import UnknownAlert
from monitor.store.paging import PAGE_MOST
from monitor.web.refusal import Refusal, refusals
from monitor.window_rows import ROWS_MOST, window_rows

Name = Annotated[str, Path(max_length=200, description="A model of the config.")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MOST, description="Rows a page.")]
Cursor = Annotated[str | None, Query(max_length=2000, description="The `next` of the page before.")]
FromMs = Annotated[int | None, Query(ge=0, le=2**53, description="Windows that start at this time or later, ms since 1970 UTC.")]
ToMs = Annotated[int | None, Query(ge=0, le=2**53, description="Windows that start before this time, ms since 1970 UTC.")]
AlertStatus = Literal["pending", "firing", "acknowledged", "resolved"]
TIMELINES_MOST = 20
Text = Annotated[str | None, Query(max_length=300)]


class Page(BaseModel):
    """Rows, and the cursor of the next page; null at the end."""

    rows: list[dict[str, Any]]
    next: str | None = None


class Rows(BaseModel):
    """All rows there are, or the newest within a bound."""

    rows: list[dict[str, Any]]


class KeptRows(BaseModel):
    """Some rows of a window; reason says why there are none, and what to write in the config."""

    start_ms: int
    kept: int
    masked: list[str]
    rows: list[dict[str, Any]]
    reason: str


class ModelView(BaseModel):
    """What the config and the store say of a model."""

    model: str
    task: str
    features: dict[str, str]
    segments: list[str]
    window_ms: int
    slide_ms: int
    allowed_lateness_ms: int
    reference: str
    references: list[dict[str, Any]]
    config_hash: str


class MayAct(BaseModel):
    """Who asks, by the token's name, and whether they may do more than look."""

    name: str
    may_act: bool


class Status(BaseModel):
    """The daemon itself."""

    version: str
    ready: bool
    state: dict[str, Any]
    partitions: list[dict[str, Any]]
    counts: dict[str, int]
    outbox: dict[str, int]
    dead_letters: list[dict[str, Any]]
    config: str


def read_routes(
    store: Any, models: dict[str, Model], segments: dict[str, list[str]], health: Health, version: str, config: str,
    clock: Callable[[], int], guards: list[Any],
) -> APIRouter:  # fmt: skip
    """config: the effective one, secrets masked. segments: the dimensions of each model."""
    missing = refusals({404: "There is no such thing."})
    router = APIRouter(prefix="/v1", tags=["read"], dependencies=guards, responses=refusals({400: "A bad cursor."}))
    reading = store.reading

    def known(model: Name) -> Model:
        if model not in models:
            raise Refusal(404, f"there is no model {model[:100]!r}; the config has {', '.join(sorted(models))}")
        return models[model]

    Known = Annotated[Model, Depends(known)]

    @router.get("/models")
    def fleet() -> Rows:
        """Every model: its last window, how many scores are at which level, alerts that fire."""
        return Rows(rows=reading.fleet(sorted(models)))

    @router.get("/models/{model}", responses=missing)
    def one_model(found: Known) -> ModelView:
        """One model's features, windows and references."""
        schema = found.schema
        kinds = {**dict.fromkeys(schema.numeric, "numeric"), **dict.fromkeys(schema.categorical, "category")}
        references = [
            {"name": r.name, "rows": r.rows, "created_ms": r.created_ms, "active": r.active} for r in store.references(found.name)
        ]
        return ModelView(
            model=found.name, task=schema.task, features=kinds, segments=segments.get(found.name, []), window_ms=found.size_ms,
            slide_ms=found.slide_ms, allowed_lateness_ms=found.lateness_ms, reference=found.profile_at(clock()),
            references=references, config_hash=found.config_hash,
        )  # fmt: skip

    @router.get("/models/{model}/windows", responses=missing)
    def windows(found: Known, from_ms: FromMs = None, to_ms: ToMs = None, limit: Limit = 100, cursor: Cursor = None) -> Page:
        """Windows, newest first."""
        return page_of(reading.windows(found.name, from_ms, to_ms, limit, cursor))

    @router.get("/models/{model}/scores", responses=missing)
    def scores(
        found: Known, from_ms: FromMs = None, to_ms: ToMs = None, limit: Limit = 500, cursor: Cursor = None,
        version: Text = None, segment: Text = None, subject: Text = None, score: Text = None, level: Text = None,
    ) -> Page:  # fmt: skip
        """Scores by window and name; filters are exact."""
        return page_of(
            reading.scores(
                found.name, from_ms, to_ms, limit, cursor,
                version=version, segment=segment, subject=subject, score=score, level=level,
            )
        )  # fmt: skip

    @router.get("/models/{model}/windows/{start_ms}/subjects", responses=missing)
    def subjects(found: Known, start_ms: Annotated[int, Path(ge=0, le=2**53)]) -> Rows:
        """All subjects of one window with their scores and worst level."""
        return Rows(rows=reading.subjects(found.name, start_ms))

    @router.get("/models/{model}/windows/{start_ms}/distribution", responses=missing)
    def shares(
        found: Known, start_ms: Annotated[int, Path(ge=0, le=2**53)], subject: Annotated[str, Query(max_length=300)],
        version: Annotated[str, Query(max_length=300)] = "", segment: Annotated[str, Query(max_length=300)] = "",
        bins: Annotated[int, Query(ge=2, le=200)] = 30,
        or_none: Annotated[bool, Query(description="Answer {kind: none} instead of 404.")] = False,
    ) -> dict[str, Any]:  # fmt: skip
        """A subject's distribution in one window and in its reference."""
        try:
            with reading.of_model(found.name) as tx:
                return distribution(tx, found, start_ms, version, segment, subject, bins)
        except KeyError as error:
            text = "the window has no such subject, version or segment, or retention took its panes"
            if or_none:
                return {"kind": "none", "reason": text}
            raise Refusal(404, text) from error

    @router.get("/models/{model}/windows/{start_ms}/rows", responses=missing)
    def kept_rows(
        found: Known, start_ms: Annotated[int, Path(ge=0, le=2**53)], worst: bool = False,
        version: Annotated[str | None, Query(max_length=300)] = None, limit: Annotated[int, Query(ge=1, le=ROWS_MOST)] = 100,
    ) -> KeptRows:  # fmt: skip
        """Rows that the window kept, masked as the config says: its sample, or (`worst`) those farthest from the reference."""
        return KeptRows(**asdict(window_rows(store, found, start_ms, version, worst, limit)))

    @router.get("/models/{model}/timeline", responses=missing)
    def timeline(
        found: Known, subject: Annotated[str, Query(max_length=300)],
        scores: Annotated[str, Query(max_length=1000, description="Names, comma-separated.")] = "",
        score: Annotated[list[str] | None, Query(max_length=TIMELINES_MOST, description="A name, also one that holds a comma.")] = None,
        version: Annotated[str, Query(max_length=300)] = "", segment: Annotated[str, Query(max_length=300)] = "",
        windows: Annotated[int, Query(ge=1, le=1000)] = 120,
    ) -> dict[str, Any]:  # fmt: skip
        """Some scores of one subject over the newest windows, oldest first, as arrays, each with what it is of the reference."""
        names = [*(score or []), *(n for n in scores.split(",") if n)][:TIMELINES_MOST]
        return dict(reading.timeline(found.name, version, segment, subject, names, windows))

    @router.get("/models/{model}/matrix", responses=missing)
    def matrix(
        found: Known, score: Annotated[str, Query(max_length=300)] = "drift",
        version: Annotated[str, Query(max_length=300)] = "", segment: Annotated[str, Query(max_length=300)] = "",
        windows: Annotated[int, Query(ge=1, le=500)] = 120,
    ) -> dict[str, Any]:  # fmt: skip
        """One score of every subject over the newest windows: values and levels, subjects by windows, the worst subjects first."""
        return dict(reading.matrix(found.name, version, segment, score, windows))

    @router.get("/alerts")
    def alerts(
        status: Annotated[list[AlertStatus] | None, Query(max_length=10)] = None, model: Text = None, limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page:  # fmt: skip
        """Alerts, those that moved last first."""
        return page_of(reading.alerts(status, model, limit, cursor))

    @router.get("/alerts/{alert}", responses=missing)
    def alert(alert: Annotated[str, Path(max_length=64)]) -> dict[str, Any]:
        """Everything about one alert: why it fired, who did what, what was sent where."""
        try:
            found: dict[str, Any] = store.actions.alert_detail(alert, clock())
            return found
        except UnknownAlert as error:
            raise Refusal(404, str(error)) from error

    @router.get("/silences")
    def silences(
        state: Literal["pending", "active", "expired"] | None = None, limit: Limit = 500, cursor: Cursor = None
    ) -> Page:  # fmt: skip
        """Silences, newest first."""
        return page_of(store.actions.list_silences(clock(), state, limit, cursor))

    @router.get("/audit")
    def audit(
        alert: Annotated[str | None, Query(max_length=64)] = None, model: Text = None, limit: Limit = 100, cursor: Cursor = None,
    ) -> Page:  # fmt: skip
        """Who did what, and what was sent or kept back, newest first."""
        return page_of(store.actions.audit(alert, model, limit, cursor))

    @router.get("/status")
    def status() -> Status:
        """Readiness, partitions, counts, the outbox, the newest dead letters, the configuration in effect."""
        ready, state = health.ready()
        letters = reading.dead_letters(50)
        return Status(version=version, ready=ready, state=state, dead_letters=letters, config=config, **reading.status())

    return router


def page_of(found: tuple[list[dict[str, Any]], str | None]) -> Page:
    return Page(rows=found[0], next=found[1])


__all__ = ["Page", "Rows", "page_of", "read_routes"]
