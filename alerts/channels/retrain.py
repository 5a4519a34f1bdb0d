"""The channel that asks for a retraining: what is sent to it becomes a record, and the record's own life goes on from there.

See alerts/retraining: policy.py decides, an adapter starts the job, monitor/retraining.py follows it.
"""

from __future__ import annotations

from typing import Protocol

from alerts.channels.base import Outcome, Sent, Skipped
from alerts.notification import Notification
from alerts.retraining.adapter import Adapter
from alerts.retraining.policy import RetrainPolicy
from alerts.retraining.request import RetrainRequest, request_of
from alerts.rules import RETRAINING
from alerts.subjects import TROUBLES, trouble_of

ASKING = ("firing", "repeat", "escalated")  # a repeat asks again: what was refused then may be allowed now


class Ledger(Protocol):
    """Where retrains are recorded; see monitor/store/retrains.py."""

    def propose(self, channel: str, policy: RetrainPolicy, request: RetrainRequest, now_ms: int) -> tuple[str, str]:
        """(status of the new record, why), or ("", why not)."""
        ...


class RetrainChannel:
    """ledger is set by who opens the store; without one nothing can be asked for."""

    def __init__(self, adapter: Adapter, policy: RetrainPolicy, name: str = "retrain", ledger: Ledger | None = None) -> None:
        self.adapter, self.policy, self.name, self.ledger = adapter, policy, name, ledger

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        n = notification
        if n.status not in ASKING:
            return Skipped("not_firing")
        if self.ledger is None:
            return Skipped("no store: a retrain is recorded before it is asked for")
        firing = [m for m in n.everyone() if m.status == "firing" and m.subject != RETRAINING]
        counting = [m for m in firing if trouble_of(m.subject) in self.policy.on] or firing
        if not counting:
            return Skipped("not_firing")
        worst = min(counting, key=lambda m: TROUBLES.index(trouble_of(m.subject)))
        status, why = self.ledger.propose(self.name, self.policy, request_of(n, worst), now_ms)
        return Sent() if status else Skipped(why)
