"""Digests on their way: which are due is asked every minute, so that one that could not be told is told when the store is back."""

from __future__ import annotations

import logging
from fnmatch import fnmatchcase
from typing import Any

from alerts.digest import Digest, digest_notes
from alerts.schedule import DAYS, parse_minute
from monitor.checkpoint import OutboxRow
from monitor.config import Config
from monitor.config.digests import DigestSettings
from monitor.logs import log_event
from monitor.store.errors import StoreUnavailable

logger = logging.getLogger("driftd.digests")


SLACK_MS = 60_000  # from a window's closing to its results: a checkpoint and a publishing, with room


def digests_of(cfg: Config) -> list[tuple[Digest, dict[str, int]]]:
    """The config's digests, each with the models that it tells of and how long (ms) after its start a window of them is published."""
    return [(_digest(d), _models(cfg, d)) for d in cfg.alerts.digests]


def _digest(d: DigestSettings) -> Digest:
    weekday = DAYS.index(d.day or "mon") if d.every == "weekly" else None
    return Digest(d.name, tuple(dict.fromkeys(d.channels)), parse_minute(d.at), d.timezone, weekday, d.team or "")


def _models(cfg: Config, d: DigestSettings) -> dict[str, int]:
    told = (m for m in cfg.models if (not d.team or m.team == d.team) and any(fnmatchcase(m.name, p) for p in d.models))
    return {m.name: m.window.size_ms + m.window.allowed_lateness_ms + SLACK_MS for m in told}


class DigestRunner:
    """Called by the scheduler; `step` takes the time, so that tests need none."""

    def __init__(self, store: Any, digests: list[tuple[Digest, dict[str, int]]], public_url: str = "") -> None:
        self._store, self._digests, self._public_url = store, digests, public_url
        self._told: dict[str, int] = {}  # name -> end of the last period told, so that a minute costs no query

    def step(self, now_ms: int) -> list[str]:
        """Tell what is due; the names of digests that went out. A store that is away is asked again at the next step."""
        out = []
        try:
            for digest, models in self._digests:
                if self._tell(digest, models, now_ms):
                    out.append(digest.name)
                    log_event(logger, logging.INFO, "digest", name=digest.name, channels=list(digest.channels))
        except StoreUnavailable as error:
            log_event(logger, logging.WARNING, "digest_waits", error=str(error))
        return out

    def _tell(self, digest: Digest, models: dict[str, int], now_ms: int) -> bool:
        start_ms, end_ms = digest.period(now_ms)
        told = self._told
        if told.get(digest.name, -1) < end_ms:
            told[digest.name] = self._store.digests.told_until(digest.name)
        if told[digest.name] >= end_ms:
            return False
        rows = []
        if self._store.digests.began(list(models), end_ms):
            facts = self._store.digests.facts(models, start_ms, end_ms)
            for channel, note in digest_notes(digest, facts, (start_ms, end_ms), now_ms, self._public_url):
                rows.append(OutboxRow(note.key, channel, f"digest:{digest.name}", note.alert, note.to_json(), now_ms))
        first: bool = self._store.digests.tell(digest.name, end_ms, rows)
        told[digest.name] = end_ms
        return first and bool(rows)
