"""From the config to how a model's alerts are handled: rules with the preset's, the tree of routes with what it inherits."""

from __future__ import annotations

from dataclasses import replace

from alerts.fold import Flapping
from alerts.inhibition import Inhibition, built_in
from alerts.matchers import Matcher
from alerts.policy import Policy
from alerts.presets import with_preset
from alerts.routing import Escalation, Route, Target
from alerts.rules import Rule
from alerts.schedule import Schedule, parse_days, parse_minute
from alerts.standing import stopped_rule
from monitor.config import Config
from monitor.config.alert_rules import ChildRouteSettings, EscalationSettings, RouteSettings, RuleSettings, ScheduleSettings
from monitor.config.model import AlertSettings, ModelSettings

ACTING = ("retrain",)  # types of channels that do something: only a rule or a route that names them calls them


def policy_of(cfg: Config, model: ModelSettings, labels_come: bool) -> Policy:
    """How this model's alerts are handled. Raises ValueError for a rule that contradicts itself."""
    alerts = cfg.alerts
    labelled = labels_come and model.task != "none"
    rules = (r for r in all_rules(alerts) if labelled or r.absent != "labels")
    team = {"team": model.team} if model.team else {}
    return Policy(
        rules=tuple(_with_rows(rule, model.min_rows) for rule in rules),
        route=route_of(alerts),
        inhibitions=(
            *built_in(r.name for r in alerts.rules),
            *(inhibition_from(i.source, i.target, i.equal) for i in alerts.inhibit),
        ),
        flapping=Flapping(alerts.flapping.times, alerts.flapping.windows),
        tags={**model.tags, **team},
        public_url=cfg.http.public_url or "",
        asking=frozenset(_retraining(alerts)),
    )


def tags_of(cfg: Config) -> set[str]:
    """The labels that alerts carry beside alerts.matchers.LABELS."""
    return {tag for model in cfg.models for tag in model.tags}


def all_rules(alerts: AlertSettings) -> tuple[Rule, ...]:
    """The config's rules beside those of the preset, and that of retrains which do not help."""
    written = tuple(rule_from(rule) for rule in alerts.rules)
    rules = with_preset(alerts.preset or ("none" if written else "default"), written)
    return (*rules, stopped_rule(_hear_of_stops(alerts))) if _retraining(alerts) else rules


def told_of_retrains(alerts: AlertSettings, name: str) -> tuple[str, ...]:
    """Who hears of a retrain channel's proposals and outcomes: those it names, else the default of the routes, else whoever can."""
    policy = alerts.channels[name].policy
    if policy is not None and policy.tell:
        return tuple(policy.tell)
    telling = [name for name, channel in alerts.channels.items() if channel.type not in ACTING]
    routed = [name for name in (alerts.route.channels if alerts.route is not None else ()) if name in telling]
    return tuple(routed or telling)


def _retraining(alerts: AlertSettings) -> list[str]:
    return [name for name, channel in alerts.channels.items() if channel.type in ACTING]


def never_called(alerts: AlertSettings) -> list[str]:
    """Channels that act only where they are named, and are not."""
    named = {name for rule in alerts.rules for name in rule.channels}
    waiting: list[RouteSettings | ChildRouteSettings] = [] if alerts.route is None else [alerts.route]
    while waiting:
        route = waiting.pop()
        named.update(route.channels or (), *(step.channels for step in route.escalate or ()))
        waiting += route.routes
    return [name for name in _retraining(alerts) if name not in named]


def _hear_of_stops(alerts: AlertSettings) -> tuple[str, ...]:
    """() where the routes reach somebody and no channel says who is told of its retrains."""
    named = any(p.tell for name in _retraining(alerts) if (p := alerts.channels[name].policy) is not None)
    routed = alerts.route is None or any(alerts.channels[name].type not in ACTING for name in alerts.route.channels)
    if routed and not named:
        return ()
    return tuple(dict.fromkeys(told for name in _retraining(alerts) for told in told_of_retrains(alerts, name)))


def _with_rows(rule: Rule, least: int) -> Rule:
    """A rule with a limit of its own asks for as many rows as the model's thresholds do, where it does not say."""
    own = rule.relative or rule.above is not None or rule.below is not None
    return replace(rule, min_rows=least) if own and rule.min_rows < 0 else replace(rule, min_rows=max(rule.min_rows, 0))


def rule_from(rule: RuleSettings) -> Rule:
    """Raises ValueError."""
    return Rule(
        name=rule.name, models=tuple(rule.models), subjects=tuple(rule.subjects), scores=tuple(rule.scores),
        segments=tuple(rule.segments), level=rule.level, resolve_level=rule.resolve_level or "", above=rule.above, below=rule.below,
        resolve_below=rule.resolve_below, resolve_above=rule.resolve_above, rise_ratio=rule.rise_ratio, rise_by=rule.rise_by,
        fall_by=rule.fall_by, learn_windows=rule.learn_windows, sigmas=rule.sigmas, absent=rule.absent or "",
        absent_ms=rule.absent_for_ms, all_of=tuple(rule.all_of), any_of=tuple(rule.any_of), for_windows=rule.for_windows,
        of_windows=rule.of_windows or 0, resolve_windows=rule.resolve_windows, cooldown_ms=rule.cooldown_ms,
        min_rows=-1 if rule.min_rows is None else rule.min_rows, min_coverage=rule.min_coverage,
        schedule=schedule_from(rule.schedule) if rule.schedule is not None else None, severity=rule.severity,
        channels=tuple(rule.channels), notify=rule.notify,
    )  # fmt: skip


def schedule_from(schedule: ScheduleSettings) -> Schedule:
    """Raises ValueError; KeyError for an unknown timezone."""
    return Schedule(parse_days(schedule.days), parse_minute(schedule.from_), parse_minute(schedule.to), schedule.timezone)


def inhibition_from(source: dict[str, str | list[str]], target: dict[str, str | list[str]], equal: list[str]) -> Inhibition:
    return Inhibition(Matcher.of(source), Matcher.of(target), tuple(equal))


def route_of(alerts: AlertSettings) -> Route | None:
    """The tree. Where none is written: every channel that only tells, or None where there is none."""
    if alerts.route is None:
        told = tuple(name for name, channel in alerts.channels.items() if channel.type not in ACTING)
        return Route(Target(told, name="default")) if told else None
    root = alerts.route
    target = Target(
        tuple(root.channels), tuple(root.group_by), root.repeat_ms, root.group_interval_ms, _steps(root.escalate), "default"
    )
    return Route(target, routes=_children(root, target))


def _children(above: RouteSettings | ChildRouteSettings, inherited: Target) -> tuple[Route, ...]:
    return tuple(_child(route, inherited) for route in above.routes)


def _child(route: ChildRouteSettings, inherited: Target) -> Route:
    matcher = Matcher.of(route.match)
    channels = inherited.channels if route.channels is None else tuple(route.channels)
    target = Target(
        channels=channels,
        group_by=inherited.group_by if route.group_by is None else tuple(route.group_by),
        repeat_ms=inherited.repeat_ms if route.repeat_ms is None else route.repeat_ms,
        interval_ms=inherited.interval_ms if route.group_interval_ms is None else route.group_interval_ms,
        escalate=inherited.escalate if route.escalate is None else _steps(route.escalate),
        name=f"{inherited.name}/{matcher}",
    )
    return Route(target, matcher, route.continue_, _children(route, target))


def _steps(steps: list[EscalationSettings]) -> tuple[Escalation, ...]:
    made = (Escalation(step.after_ms, tuple(step.channels), step.severity or "") for step in steps)
    return tuple(sorted(made, key=lambda step: step.after_ms))
