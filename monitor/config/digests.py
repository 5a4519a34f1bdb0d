"""`alerts.digests`: summaries of a day or week, and what is wrong with them beside channels, teams and models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from monitor.config.alert_rules import Hour
from monitor.config.lines import Path
from monitor.config.section import Name, Section
from monitor.config.suggest import nearest

# channels that page or act: an incident that nobody resolves would be opened for each digest
NO_DIGESTS = ("pagerduty", "opsgenie", "alertmanager", "retrain")


class DigestSettings(Section):
    """At `at` (local time of timezone) every day, or on `day` every week, of the models of a team or of name patterns."""

    name: Name
    channels: Annotated[list[str], Field(min_length=1, max_length=20)]
    every: Literal["daily", "weekly"] = "daily"
    at: Hour = "08:00"
    day: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] | None = None
    timezone: str = "UTC"
    team: str | None = None
    models: list[str] = ["*"]

    @model_validator(mode="after")
    def _in_time(self) -> DigestSettings:
        if self.at == "24:00":
            raise ValueError("24:00 is the next day's beginning; write at: '00:00'")
        if self.day is not None and self.every == "daily":
            raise ValueError("day is for every: weekly; a daily digest comes each day")
        return self


def digest_problems(digests: list[Any], channels: dict[str, Any], models: list[Any]) -> Iterator[tuple[Path, str, str]]:
    """models: the raw ones. Channels, patterns and timezones are looked at by cross_alerts."""
    teams = {str(m["team"]) for m in models if isinstance(m, dict) and m.get("team")}
    for i, digest in enumerate(digests):
        if not isinstance(digest, dict):
            continue
        path: Path = ("alerts", "digests", i)
        names = digest.get("channels") if isinstance(digest.get("channels"), list) else []
        for j, name in enumerate(names or []):
            kind = channels[name].get("type") if isinstance(name, str) and isinstance(channels.get(name), dict) else None
            if kind in NO_DIGESTS:
                yield (
                    (*path, "channels", j),
                    f"a {kind} channel carries no digests",
                    "name a channel that people read: slack, email, ...",
                )
        team = digest.get("team")
        if isinstance(team, str) and team not in teams:
            yield (*path, "team"), f"no model has team {team!r}", nearest(team, teams)
