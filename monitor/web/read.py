"""GET /v1/…: what the page, scripts and people read. Nothing here changes anything."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from monitor.health import Health
from monitor.model import Model
from monitor.store.actions import UnknownAlert
from monitor.web.read_models import MISSING, model_routes, window_routes
from monitor.web.refusal import Refusal, refusals
from monitor.web.shapes import Cursor, Limit, Page, Status, Text, page_of

AlertStatus = Literal["pending", "firing", "acknowledged", "resolved"]


def read_routes(
    store: Any, models: dict[str, Model], segments: dict[str, list[str]], health: Health, version: str, config: str,
    clock: Callable[[], int], guards: list[Any],
) -> APIRouter:  # fmt: skip
    """config: the effective one, secrets masked. segments: the dimensions of each model."""
    router = APIRouter(prefix="/v1", tags=["read"], dependencies=guards, responses=refusals({400: "A bad cursor."}))
    model_routes(router, store, models, segments, clock)
    window_routes(router, store, models)
    _alert_routes(router, store, clock)

    @router.get("/status")
    def status() -> Status:
        """Readiness, partitions, counts, the outbox, the newest dead letters, the configuration in effect."""
        ready, state = health.ready()
        letters = store.reading.dead_letters(50)
        return Status(version=version, ready=ready, state=state, dead_letters=letters, config=config, **store.reading.status())

    return router


def _alert_routes(router: APIRouter, store: Any, clock: Callable[[], int]) -> None:
    @router.get("/alerts")
    def alerts(
        status: Annotated[list[AlertStatus] | None, Query(max_length=10)] = None, model: Text = None, limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Page:  # fmt: skip
        """Alerts, those that moved last first."""
        return page_of(store.reading.alerts(status, model, limit, cursor))

    @router.get("/alerts/{alert}", responses=MISSING)
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
