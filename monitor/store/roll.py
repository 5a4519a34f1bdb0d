"""What each channel was told of and still fires, from the desks' states: written with the messages, so true however they went."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from alerts.channels.roll import Told
from alerts.desk import Desk
from alerts.messages import links_of
from alerts.notification import Member
from monitor.store.schema import alert, model_state
from monitor.store.transactions import Transactions

DESK = "alert_desk"  # name of the state; alerts/lifecycle.py puts a line before it
MANY = 500  # names in one statement


class AlertRoll(Transactions):
    """See alerts.channels.roll.Roll. public_url: where the built-in page is, "" where nowhere."""

    public_url = ""

    def told(self, channel: str, model: str = "", group: str = "") -> list[Told]:
        query = select(model_state.c.blob).where(model_state.c.name == DESK)
        with self._reading() as conn:
            blobs = conn.execute(query.where(model_state.c.model == model) if model else query).scalars().all()
        desks = (Desk.from_bytes(bytes(blob).partition(b"\n")[2]) for blob in blobs)
        marks = {
            mark
            for desk in desks
            for one in desk.groups.values()
            if channel in one.channels and group in ("", one.id)
            for mark in one.told
        }
        return self.known(sorted(marks))

    def known(self, marks: Iterable[str]) -> list[Told]:
        names, out = list(marks), []
        with self._reading() as conn:
            for at in range(0, len(names), MANY):
                found = conn.execute(select(alert).where(alert.c.alert.in_(names[at : at + MANY])).order_by(alert.c.alert))
                out += [self._told(row) for row in found.mappings()]
        return out

    def _told(self, row: Any) -> Told:
        member = Member(
            row["alert"], row["status"], row["reason"] or "", row["rule"], row["severity"], row["version"], row["segment"],
            row["subject"], row["score"], row["level"] or "", row["value"], row["threshold"], row["rows"] or 0, row["since_ms"],
            row["reference"] or "",
        )  # fmt: skip
        link = links_of(self.public_url, row["alert"], row["model"]).get("alert", "")
        return Told(json.loads(row["labels"] or "{}"), member, link)
