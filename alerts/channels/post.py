"""One HTTP POST whose answer is only looked at for its status."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.channels.address import Resolve, resolve
from alerts.channels.base import Outcome, outcome_of_status
from alerts.channels.fetch import Answer, fetch


@dataclass(frozen=True, slots=True)
class Poster:
    """Posts to one URL. timeout_s bounds connecting and each wait for bytes."""

    url: str
    timeout_s: float = 10.0
    allow_private: bool = False
    resolve: Resolve = resolve

    def post(self, body: bytes, headers: dict[str, str], now_ms: int) -> Outcome:
        """Never raises for what the network does; the URL, which may be secret, is in no error."""
        done = fetch("POST", self.url, body, headers, now_ms, self.timeout_s, self.allow_private, self.resolve)
        return outcome_of_status(done.status, done.retry_after_ms) if isinstance(done, Answer) else done
