"""A server's Prometheus page becomes a sample: fetched from a checked address, parsed by prometheus_client.

Loopback may be asked without more; any other address must be public and https, or allowed by `allow_private`.
"""

from __future__ import annotations

import http.client
import ipaddress
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from alerts.channels.address import Resolve, Target, UnsafeAddress, check_target, resolve
from alerts.channels.fetch import connection_to
from monitor.resources.probe import ProbeUnavailable, Rates
from monitor.resources.servers import Reading, Table

PAGE_BYTES = 8_000_000  # cAdvisor's pages are the largest
SAMPLES = 200_000
WHOLE = ("", "POD")  # cAdvisor's `container` of a pod's control group, and of the one that holds its network


@dataclass(frozen=True, slots=True)
class Page:
    """How to get one page. timeout_s bounds connecting and each wait for bytes."""

    url: str
    timeout_s: float = 3.0
    allow_private: bool = False
    resolve: Resolve = resolve

    def fetch(self) -> str:
        """Raises ProbeUnavailable."""
        target = self._target()
        connection = connection_to(target, self.timeout_s)
        try:
            connection.request("GET", target.path, headers={"Accept": "text/plain;version=0.0.4", "User-Agent": "driftd"})
            response = connection.getresponse()
            if response.status != 200:
                raise ProbeUnavailable(f"{self.url} answered {response.status}, not 200 (redirects are not followed)")
            body = response.read(PAGE_BYTES + 1)
        except TimeoutError:
            raise ProbeUnavailable(f"{self.url}: no answer within {self.timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise ProbeUnavailable(f"{self.url}: {type(error).__name__}: {error}") from None
        finally:
            connection.close()
        if len(body) > PAGE_BYTES:
            raise ProbeUnavailable(f"{self.url}: the page is larger than {PAGE_BYTES} bytes; let the exporter keep less")
        return body.decode("utf-8", "replace")

    def _target(self) -> Target:
        try:
            target = check_target(self.url, True, self.resolve)
            if not ipaddress.ip_address(target.ip.split("%")[0]).is_loopback:
                target = check_target(self.url, self.allow_private, self.resolve)
        except UnsafeAddress as error:
            raise ProbeUnavailable(str(error)) from None
        except (OSError, ValueError) as error:
            raise ProbeUnavailable(f"{self.url}: {error}") from None
        return target


class ScrapeProbe:
    """labels: only samples that have these labels count, such as {pod: credit-0}. A metric that has a label of such a name on none of
    its samples is of the whole server (Triton's nv_gpu_* beside {model: credit}) and counts whatever that label should be.

    of_containers: a page that says some things of each container and, once more, of all of a pod together (cAdvisor's).
    """

    def __init__(
        self, fetch: Callable[[], str], table: Table, labels: Mapping[str, str], described: str, of_containers: bool = False
    ) -> None:  # fmt: skip
        self._fetch = fetch
        self._of_containers = of_containers
        self._table = table
        self._partial = [r for readings in table.values() for r in readings if r.unlike is not None]
        self._labels = dict(labels)
        self._described = described
        self._rates = Rates()

    def sample(self, now_s: float) -> dict[str, float]:
        wanted = {name for readings in self._table.values() for r in readings for name in (r.metric, r.over) if name}
        found = self._read(self._fetch(), wanted)
        out: dict[str, float] = {}
        for name, readings in self._table.items():
            reading = next((r for r in readings if r.source in found), None)
            value = None if reading is None else self._value(name, reading, found, now_s)
            if value is not None and math.isfinite(value):
                out[name] = value
        if not found:
            filtered = f" with labels {self._labels}" if self._labels else ""
            raise ProbeUnavailable(f"{self._described}: none of {', '.join(sorted(wanted)[:6])}, ... is on the page{filtered}")
        return out

    def _read(self, page: str, wanted: set[str]) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        together: dict[tuple[str, str], list[float]] = {}
        read: list[tuple[str, dict[str, str], float]] = []
        has: dict[str, set[str]] = {}
        seen = 0
        try:
            for family in text_string_to_metric_families(page):
                for sample in family.samples:
                    seen += 1
                    # the parser adds _total to counters that lack it, which many servers' do
                    bare = sample.name.removesuffix("_total")
                    name = bare if sample.name not in wanted and family.type == "counter" else sample.name
                    if name in wanted:
                        has.setdefault(name, set()).update(sample.labels)
                        read.append((name, sample.labels, float(sample.value)))
                if seen > SAMPLES:
                    raise ProbeUnavailable(f"{self._described}: more than {SAMPLES} samples on the page")
        except (ValueError, KeyError, IndexError) as error:
            raise ProbeUnavailable(f"{self._described}: this is no Prometheus page ({error})") from None
        if not self._labels.keys() <= set().union(*has.values()):  # a label that no metric has is a mistake, not the whole server
            return {}
        for name, labels, value in read:
            if all(labels.get(label) == of for label, of in self._labels.items() if label in has[name]):
                container = labels.get("container")
                whole = self._of_containers and container in WHOLE
                (together.setdefault((name, str(container)), []) if whole else found.setdefault(name, [])).append(value)
                self._part(name, labels, value, found)
        for (name, _), values in sorted(together.items()):  # "" before "POD"
            found.setdefault(name, values)
        return found

    def _part(self, name: str, labels: Mapping[str, str], value: float, found: dict[str, list[float]]) -> None:
        """A sample of the readings that leave out one value of a label."""
        for reading in self._partial:
            if reading.metric == name and reading.unlike is not None and reading.unlike[0] in labels:
                among = found.setdefault(reading.source, [])
                if labels[reading.unlike[0]] != reading.unlike[1]:
                    among.append(value)

    def _value(self, name: str, reading: Reading, found: dict[str, list[float]], now_s: float) -> float | None:
        values = found[reading.source]
        if reading.how == "gauge":
            return _joined(values, reading.join) * reading.scale
        grown = self._rates.rate(f"{name}/{reading.source}", sum(values), now_s)
        if reading.how == "rate":
            return None if grown is None else grown * reading.scale
        over = self._rates.rate(f"{name}/{reading.over}", sum(found.get(reading.over, [])), now_s)
        return grown / over * reading.scale if grown is not None and over else None


def _joined(values: list[float], join: str) -> float:
    if join == "max":
        return max(values)
    return sum(values) / (len(values) if join == "mean" else 1)
