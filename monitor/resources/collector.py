"""The thread that asks the probes, each at its own pace, and hands their samples to the store.

It never touches the data loop: a server that does not answer, a GPU that is not there, a store that is away cost
samples and nothing else. A source that cannot be asked is said once, and once more when it can; each time that it could not is
stored beside the samples, so that its windows know why they have none.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from monitor.checkpoint import ResourceSample
from monitor.logs import log_event
from monitor.resources.probe import Probe, ProbeUnavailable
from monitor.store.errors import StoreError, StoreUnavailable

logger = logging.getLogger("driftd.resources")
LEAST_WAIT_S = 0.05
TROUBLE_CHARS = 500  # of why a source could not be asked: it is stored as often as a sample


@dataclass(slots=True)
class Source:
    """One probe of one model."""

    model: str
    name: str
    probe: Probe
    every_s: float
    due_s: float = field(default=0.0)
    trouble: str = field(default="")


class Collector:
    """clock: wall time in ms, for the samples; monotonic: seconds, for the pace. tell: model, resource, whether it answered."""

    def __init__(
        self,
        sources: list[Source],
        write: Callable[[list[ResourceSample]], None],
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        tell: Callable[[str, str, bool], None] = lambda model, resource, answers: None,
    ) -> None:
        self._sources = sources
        self._write = write
        self._clock = clock
        self._monotonic = monotonic
        self._tell = tell

    def run(self, stop: threading.Event) -> None:
        """Until stop is set."""
        while not stop.is_set():
            self.turn()
            wait = min((s.due_s for s in self._sources), default=self._monotonic() + 1.0) - self._monotonic()
            stop.wait(max(LEAST_WAIT_S, wait))

    def turn(self) -> None:
        """Ask the sources that are due and store what they say."""
        samples = []
        for source in self._sources:
            if self._monotonic() < source.due_s:
                continue
            source.due_s = self._monotonic() + source.every_s
            values, trouble = self._ask(source)
            self._say(source, trouble)
            self._tell(source.model, source.name, not trouble)
            if values or trouble:
                samples.append(ResourceSample(source.model, source.name, self._clock(), values, trouble))
        if not samples:
            return
        try:
            self._write(samples)
        except (StoreError, StoreUnavailable) as error:
            log_event(logger, logging.WARNING, "resource_samples_lost", samples=len(samples), error=str(error))

    def _ask(self, source: Source) -> tuple[dict[str, float], str]:
        """What it says, and why it says nothing."""
        try:
            return source.probe.sample(self._monotonic()), ""
        except ProbeUnavailable as error:
            trouble = str(error)
        except Exception as error:  # a fault of one probe is none of the others'
            trouble = f"{type(error).__name__}: {error}"
        return {}, trouble[:TROUBLE_CHARS]

    def _say(self, source: Source, trouble: str) -> None:
        if trouble == source.trouble:
            return
        source.trouble = trouble
        event, level = ("resource_unavailable", logging.WARNING) if trouble else ("resource_answers", logging.INFO)
        log_event(logger, level, event, model=source.model, resource=source.name, reason=trouble)
