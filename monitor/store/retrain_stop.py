"""Whether retraining of a model was stopped because it did not help, until a human says «go on»."""

from __future__ import annotations

from sqlalchemy import Connection, select

from alerts.retraining.policy import Past, futile_in_a_row
from alerts.standing import Fact
from monitor.store.schema import model_state, retrain

PAST_MOST = 50
RESET = "retrain_reset"


def reset_ms(conn: Connection, model: str) -> int:
    """When a human last said «go on»; -1: never."""
    c = model_state.c
    found = conn.execute(select(c.blob).where(c.model == model, c.name == RESET)).scalar()
    return -1 if found is None else int(bytes(found))


def past_of(conn: Connection, model: str) -> list[Past]:
    """The model's newest retrains, newest first."""
    c = retrain.c
    query = select(c.id, c.status, c.verdict, c.requested_ms, c.begun_ms, c.finished_ms).where(c.model == model)
    return [Past(*row) for row in conn.execute(query.order_by(c.requested_ms.desc(), c.id).limit(PAST_MOST))]


def stopped(conn: Connection, model: str) -> Fact | None:
    """What stands while no record of the model is newer than the block, and nobody said «go on» since."""
    past, since_ms = past_of(conn, model), reset_ms(conn, model)
    block = next((p for p in past if p.status == "blocked" and past[0].requested_ms == p.requested_ms > since_ms), None)
    if block is None:
        return None
    why = conn.execute(select(retrain.c.reason).where(retrain.c.id == block.id)).scalar_one()
    return Fact(float(futile_in_a_row(past, since_ms)), {"why": why, "retrain": block.id, "then": "driftd retrains reset"})
