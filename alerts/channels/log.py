"""The channel that writes alerts to the daemon's own log."""

from __future__ import annotations

import logging

from alerts.channels.base import Outcome, Sent
from alerts.notification import Notification

log = logging.getLogger("driftd.alerts")


class LogChannel:
    """One line a notification: info where resolved, warning where firing."""

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        n = notification
        if n.is_note:
            log.info("%s: %r %r", n.status, n.subject, n.comment)
            return Sent()
        level = logging.WARNING if n.status == "firing" else logging.INFO
        log.log(
            level,
            "alert %s: rule=%r model=%r version=%r segment=%r subject=%r score=%s value=%s threshold=%s reason=%s id=%s",  # noqa: E501
            n.status, n.rule, n.model, n.version, n.segment, n.subject, n.score, n.value, n.threshold, n.reason,  # noqa: E501
            n.alert[:8],
        )  # fmt: skip
        return Sent()
