"""The sections of a model that say what is looked at beside drift: segments, rules, fairness, cost, resources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from monitor.config.section import Name, Section
from monitor.config.units import Duration


class FairnessSettings(Section):
    """protected: segments whose values are compared with each other. favourable: the predicted label that is one's
    advantage (default: positive_label)."""

    protected: list[str] = []
    favourable: str | None = None


class SegmentSettings(Section):
    """A key of the event's `segment`, or, with `where`, an expression over features and event fields."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    where: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _key_alone(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data


class CheckSettings(Section):
    """A rule that every row keeps: `expect` is an expression, what makes it false is a violation."""

    name: Name
    expect: str


class FeatureQualitySettings(Section):
    """What the values of one feature must be like. length counts characters; pattern is RE2's and matches whole strings."""

    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    length: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    pattern: str | None = None

    @model_validator(mode="after")
    def _in_order(self) -> FeatureQualitySettings:
        if self.range is None and self.length is None and self.pattern is None:
            raise ValueError("give range, length, pattern, or several of them")
        for name, pair in (("range", self.range), ("length", self.length)):
            if pair is not None and not pair[0] <= pair[1]:
                raise ValueError(f"{name} {list(pair)} must be [least, greatest]")
        return self


class QualitySettings(Section):
    features: dict[str, FeatureQualitySettings] = {}
    freshness: bool = False


class WorstSegmentSettings(Section):
    """features: whose cells, one or two at a time, the worst segment is looked for in."""

    features: Annotated[list[str], Field(min_length=1, max_length=8)]


class OutlierSettings(Section):
    """quantile: the share of the reference's rows that are no outliers. worst_rows: how many of a pane are kept."""

    quantile: float = Field(0.999, gt=0.5, lt=1.0)
    worst_rows: int = Field(0, ge=0, le=1000)


class CostSettings(Section):
    """budget_usd_per_day: what the model's events may cost a day (UTC), by their field cost_usd."""

    budget_usd_per_day: Annotated[float, Field(gt=0)]


class ResourceSettings(Section):
    """One thing to sample while the model serves: a process, a GPU, or a server's Prometheus page."""

    name: Name
    type: Literal["process", "gpu", "prometheus"]
    every_ms: Duration = Field(10_000, alias="every", ge=1000)
    # process: one of these
    pid: Annotated[int, Field(ge=1)] | None = None
    pid_file: Path | None = None
    process: str | None = None
    cgroup: str | None = None
    # gpu
    index: int = Field(0, ge=0)
    # prometheus
    url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")] | None = None
    server: Literal["triton", "torchserve", "tfserving", "kserve", "dcgm", "cadvisor", "process"] = "process"
    labels: dict[str, str] = {}
    timeout_ms: Duration = Field(3_000, alias="timeout", ge=100, le=30_000)
    allow_private: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> ResourceSettings:
        ways = [n for n in ("pid", "pid_file", "process", "cgroup") if getattr(self, n) is not None]
        if self.type == "process" and len(ways) != 1:
            raise ValueError("a process needs one of pid, pid_file, process (its name), cgroup (a path, or self)")
        if self.type == "prometheus" and self.url is None:
            raise ValueError("a prometheus resource needs url: http://127.0.0.1:8002/metrics, for example")
        return self
