"""The part of config.yaml that says what alerts and who hears of it: rules, routes, inhibition, flapping."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from alerts.schedule import parse_days, parse_minute
from monitor.config.section import Name, Section
from monitor.config.units import Duration

Severity = Literal["info", "warning", "critical"]


def _days(value: list[str]) -> list[str]:
    parse_days(value)
    return value


def _hour(value: Any) -> Any:
    """A time of day as text. YAML reads 18:00 without quotes as the number of its minutes."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1440:
        value = f"{value // 60:02d}:{value % 60:02d}"
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no time of day; write it in quotes as '09:00'")
    parse_minute(value)
    return value


Hour = Annotated[str, BeforeValidator(_hour)]


class ScheduleSettings(Section):
    days: Annotated[list[str], AfterValidator(_days)] = ["mon-fri"]
    from_: Hour = Field("09:00", alias="from")
    to: Hour = "18:00"
    timezone: str = "UTC"


class RuleSettings(Section):
    name: Name
    models: list[str] = ["*"]
    subjects: list[str] = ["*"]
    scores: list[str] = ["*"]
    segments: list[str] = [""]
    level: Literal["warn", "breach"] = "breach"
    resolve_level: Literal["warn", "breach"] | None = None
    above: float | None = None
    below: float | None = None
    resolve_below: float | None = None
    resolve_above: float | None = None
    rise_ratio: float | None = None
    rise_by: float | None = None
    fall_by: float | None = None
    learn_windows: int = Field(20, ge=5, le=1000)
    sigmas: float = Field(4.0, ge=0)
    absent: Literal["events", "labels"] | None = None
    absent_for_ms: Duration = Field(0, alias="absent_for")
    all_of: list[str] = []
    any_of: list[str] = []
    for_windows: int = Field(1, ge=1, le=10_000)
    of_windows: int | None = Field(None, ge=1, le=10_000)
    resolve_windows: int = Field(1, ge=1, le=10_000)
    cooldown_ms: Duration = Field(0, alias="cooldown")
    min_rows: int | None = Field(None, ge=0)
    min_coverage: float = Field(0.0, ge=0, le=1)
    schedule: ScheduleSettings | None = None
    severity: Severity = "warning"
    channels: list[str] = []
    notify: bool = True


class EscalationSettings(Section):
    after_ms: Duration = Field(alias="after", ge=1)
    channels: Annotated[list[str], Field(min_length=1)]
    severity: Severity | None = None


class ChildRouteSettings(Section):
    """What is not given here is as in the route above."""

    match: dict[str, str | list[str]] = {}
    channels: list[str] | None = None
    group_by: list[str] | None = None
    repeat_ms: Duration | None = Field(None, alias="repeat")
    group_interval_ms: Duration | None = Field(None, alias="group_interval")
    escalate: list[EscalationSettings] | None = None
    continue_: bool = Field(False, alias="continue")
    routes: list[ChildRouteSettings] = []


class RouteSettings(Section):
    """The root: it matches every alert, and its channels are the default."""

    channels: Annotated[list[str], Field(min_length=1)]
    group_by: list[str] = ["model", "rule"]
    repeat_ms: Duration = Field(4 * 3_600_000, alias="repeat")
    group_interval_ms: Duration = Field(300_000, alias="group_interval")
    escalate: list[EscalationSettings] = []
    routes: list[ChildRouteSettings] = []


class InhibitSettings(Section):
    source: dict[str, str | list[str]]
    target: dict[str, str | list[str]]
    equal: list[str] = ["model"]


class FlappingSettings(Section):
    times: int = Field(4, ge=0, le=100)
    windows: int = Field(30, ge=2, le=1000)
