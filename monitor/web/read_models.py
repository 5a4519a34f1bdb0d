"""GET /v1/models/…: what is known of the models, their windows and scores. Nothing here changes anything.

Annotations are evaluated here, as FastAPI needs those that name local dependencies.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from monitor.looking import distribution
from monitor.model import Model
from monitor.web.refusal import Refusal, refusals
from monitor.web.shapes import (
    Cursor,
    FromMs,
    KeptRows,
    Limit,
    ModelView,
    Name,
    Page,
    Rows,
    Text,
    ToMs,
    page_of,
)
from monitor.window_rows import ROWS_MOST, window_rows

TIMELINES_MOST = 20
MISSING = refusals({404: "There is no such thing."})


def known_model(models: dict[str, Model]) -> Callable[[Name], Model]:
    """The dependency that turns a path's model into the model, or refuses."""

    def known(model: Name) -> Model:
        if model not in models:
            raise Refusal(404, f"there is no model {model[:100]!r}; the config has {', '.join(sorted(models))}")
        return models[model]

    return known


def model_routes(
    router: APIRouter, store: Any, models: dict[str, Model], segments: dict[str, list[str]], clock: Callable[[], int]
) -> None:
    """The models, and what there is of one over time. segments: the dimensions of each model."""
    reading = store.reading
    Known = Annotated[Model, Depends(known_model(models))]

    @router.get("/models")
    def fleet() -> Rows:
        """Every model: its last window, how many scores are at which level, alerts that fire."""
        return Rows(rows=reading.fleet(sorted(models)))

    @router.get("/models/{model}", responses=MISSING)
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

    @router.get("/models/{model}/windows", responses=MISSING)
    def windows(found: Known, from_ms: FromMs = None, to_ms: ToMs = None, limit: Limit = 100, cursor: Cursor = None) -> Page:
        """Windows, newest first."""
        return page_of(reading.windows(found.name, from_ms, to_ms, limit, cursor))

    @router.get("/models/{model}/scores", responses=MISSING)
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

    @router.get("/models/{model}/timeline", responses=MISSING)
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

    @router.get("/models/{model}/matrix", responses=MISSING)
    def matrix(
        found: Known, score: Annotated[str, Query(max_length=300)] = "drift",
        version: Annotated[str, Query(max_length=300)] = "", segment: Annotated[str, Query(max_length=300)] = "",
        windows: Annotated[int, Query(ge=1, le=500)] = 120,
    ) -> dict[str, Any]:  # fmt: skip
        """One score of every subject over the newest windows: values and levels, subjects by windows, the worst subjects first."""
        return dict(reading.matrix(found.name, version, segment, score, windows))


def window_routes(router: APIRouter, store: Any, models: dict[str, Model]) -> None:
    """What there is inside one window."""
    reading = store.reading
    Known = Annotated[Model, Depends(known_model(models))]

    @router.get("/models/{model}/windows/{start_ms}/subjects", responses=MISSING)
    def subjects(found: Known, start_ms: Annotated[int, Path(ge=0, le=2**53)]) -> Rows:
        """All subjects of one window with their scores and worst level."""
        return Rows(rows=reading.subjects(found.name, start_ms))

    @router.get("/models/{model}/windows/{start_ms}/distribution", responses=MISSING)
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

    @router.get("/models/{model}/windows/{start_ms}/rows", responses=MISSING)
    def kept_rows(
        found: Known, start_ms: Annotated[int, Path(ge=0, le=2**53)], worst: bool = False,
        version: Annotated[str | None, Query(max_length=300)] = None, limit: Annotated[int, Query(ge=1, le=ROWS_MOST)] = 100,
    ) -> KeptRows:  # fmt: skip
        """Rows that the window kept, masked as the config says: its sample, or (`worst`) those farthest from the reference."""
        return KeptRows(**asdict(window_rows(store, found, start_ms, version, worst, limit)))
