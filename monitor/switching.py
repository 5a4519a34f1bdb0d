"""A running daemon learns of references that were built or activated, without a restart.

A look every LOOK_S seconds on the chores' thread is one query without blobs; what changed is read and handed to the data
loop, which takes it over between two turns. When a reference takes effect is written in the store (see
monitor/store/references.py), so that it does not matter when each replica learns of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from monitor.config import Config
from monitor.logs import log_event
from monitor.model import Model
from monitor.runtime import build_model
from monitor.store.errors import StoreUnavailable

logger = logging.getLogger("driftd.switching")
LOOK_S = 20


class ReferenceWatch:
    """adopt: takes a model's new form, from this thread."""

    def __init__(self, cfg: Config, store: Any, models: dict[str, Model], adopt: Callable[[Model], None]) -> None:
        self._cfg, self._store, self._models, self._adopt = cfg, store, models, adopt
        self._known = {name: (m.activations, frozenset(m.profiles)) for name, m in models.items()}

    def look(self) -> None:
        try:
            marks = self._store.reference_marks()
            for settings in self._cfg.models:
                mark = marks.get(settings.name, ((), frozenset()))
                if mark != self._known[settings.name]:
                    self._take(settings.name, build_model(self._cfg, settings, self._store))
                    self._known[settings.name] = mark
        except StoreUnavailable as error:
            log_event(logger, logging.WARNING, "references_wait", error=str(error))

    def _take(self, name: str, built: Model) -> None:
        now = self._models[name]
        if built.schema != now.schema:
            effect = "the reference holds other features or classes than the daemon decodes: restart driftd to use it"
            log_event(logger, logging.WARNING, "reference_needs_restart", model=name, reference=built.active_profile, effect=effect)
            return
        self._adopt(replace(now, profiles=built.profiles, active_profile=built.active_profile, activations=built.activations))
        log_event(logger, logging.INFO, "references", model=name, active=built.active_profile, activations=list(built.activations))
