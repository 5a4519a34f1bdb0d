"""From the config to the sources that a collector asks."""

from __future__ import annotations

from collections.abc import Callable

from monitor.config import Config
from monitor.config.watched import ResourceSettings
from monitor.resources.collector import Source
from monitor.resources.gpu import GpuProbe
from monitor.resources.probe import Probe
from monitor.resources.process import ProcessProbe, by_cgroup, by_name, by_pid, by_pid_file
from monitor.resources.scrape import Page, ScrapeProbe
from monitor.resources.servers import table_of


def build_sources(cfg: Config) -> list[Source]:
    """A source for each resource of each model."""
    return [Source(m.name, r.name, _probe(r), r.every_ms / 1000.0) for m in cfg.models for r in m.resources]


def _probe(settings: ResourceSettings) -> Probe:
    make: dict[str, Callable[[ResourceSettings], Probe]] = {"process": _process, "gpu": _gpu, "prometheus": _page}
    return make[settings.type](settings)


def _process(settings: ResourceSettings) -> Probe:
    if settings.pid is not None:
        return ProcessProbe(by_pid(settings.pid), f"pid {settings.pid}")
    if settings.pid_file is not None:
        return ProcessProbe(by_pid_file(settings.pid_file), f"pid file {settings.pid_file}")
    if settings.process is not None:
        return ProcessProbe(by_name(settings.process), f"process {settings.process!r}")
    return ProcessProbe(by_cgroup(settings.cgroup or "self"), f"cgroup {settings.cgroup}")


def _gpu(settings: ResourceSettings) -> Probe:
    return GpuProbe(settings.index)


def _page(settings: ResourceSettings) -> Probe:
    page = Page(settings.url or "", settings.timeout_ms / 1000.0, settings.allow_private)
    return ScrapeProbe(page.fetch, table_of(settings.server), settings.labels, page.url, settings.server == "cadvisor")
