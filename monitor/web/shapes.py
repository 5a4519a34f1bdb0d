"""Shapes of what /v1 takes and answers, as its OpenAPI page shows them."""

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel

from monitor.store.paging import PAGE_MOST

Name = Annotated[str, Path(max_length=200, description="A model of the config.")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MOST, description="Rows a page.")]
Cursor = Annotated[str | None, Query(max_length=2000, description="The `next` of the page before.")]
FromMs = Annotated[int | None, Query(ge=0, le=2**53, description="Windows that start at this time or later, ms since 1970 UTC.")]
ToMs = Annotated[int | None, Query(ge=0, le=2**53, description="Windows that start before this time, ms since 1970 UTC.")]
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


def page_of(found: tuple[list[dict[str, Any]], str | None]) -> Page:
    return Page(rows=found[0], next=found[1])
