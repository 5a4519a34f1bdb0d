"""`driftd alerts`: list, show, acknowledge, silence, and try a channel; `driftd explain` draws an alert's evidence."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable
from typing import Any

import click

from monitor.commands.common import (
    CONFIG,
    EXIT_FAILED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    JSON,
    inherit_config,
    load,
    open_stored,
    require_model,
    require_named,
)

AUTHOR = click.option("--author", default=None, help="Who does it; your login name if you do not say.")


@click.group(invoke_without_command=True)
@CONFIG
@click.option("--all", "all_", is_flag=True, help="Resolved alerts too.")
@click.pass_context
def alerts(context: click.Context, config_path: str, all_: bool) -> None:
    """List the alerts, take one, silence some, try a channel. Without a command: list."""
    inherit_config(context)
    if context.invoked_subcommand is None:
        _list(config_path, all_, None, False)


@alerts.command("list")
@CONFIG
@click.option("--all", "all_", is_flag=True, help="Resolved alerts too.")
@click.option("--model", default=None, help="Only this model.")
@JSON
@click.pass_context
def list_(context: click.Context, config_path: str, all_: bool, model: str | None, as_json: bool) -> None:
    """List the alerts: since when, value against limit, what they are about."""
    given = context.parent.params if context.parent is not None else {}
    _list(config_path, all_ or bool(given.get("all_")), model, as_json)


def _list(config_path: str, all_: bool, model: str | None, as_json: bool) -> None:
    from monitor.terminal import print_alerts

    cfg = load(config_path)
    store = open_stored(cfg, read_only=True)
    rows = store.reading.all_alerts(None if all_ else ["pending", "firing", "acknowledged"], model)
    store.close()
    if not rows:
        require_model(cfg, model)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        print_alerts(rows, all_, now_ms())


@alerts.command()
@CONFIG
@click.argument("alert")
@JSON
def show(config_path: str, alert: str, as_json: bool) -> None:
    """Show one ALERT (its id, or the first 6 digits of it): why it fired, who acted, what was sent where."""
    from monitor.terminal import print_alert

    detail = of_store(config_path, lambda s: s.actions.alert_detail(alert, now_ms()), read_only=True)
    if as_json:
        click.echo(json.dumps(detail, indent=2, default=str))
    else:
        print_alert(detail)


@click.command()
@CONFIG
@click.argument("alert")
@JSON
def explain(config_path: str, alert: str, as_json: bool) -> None:
    """Draw the evidence of an ALERT: what moved, from where to where."""
    from monitor.explained import evidence_of, print_evidence

    detail = of_store(config_path, lambda s: s.actions.alert_detail(alert, now_ms()), read_only=True)
    if as_json:
        click.echo(json.dumps(evidence_of(detail), indent=2, default=str))
    else:
        print_evidence(detail)


@alerts.command()
@CONFIG
@click.argument("alert")
@click.option("--comment", default="", help="What you will do about it.")
@AUTHOR
def ack(config_path: str, alert: str, comment: str, author: str | None) -> None:
    """Take an ALERT: it is not repeated and does not escalate any more."""
    row = of_store(config_path, lambda s: s.actions.ack(alert, author or user(), comment, now_ms()))
    click.echo(f"{row['alert']} is acknowledged")


@alerts.command()
@CONFIG
@click.argument("alert")
@click.option("--comment", default="", help="Why you give it back.")
@AUTHOR
def unack(config_path: str, alert: str, comment: str, author: str | None) -> None:
    """Give an ALERT back: repeats and escalation begin anew."""
    row = of_store(config_path, lambda s: s.actions.unack(alert, author or user(), comment, now_ms()))
    click.echo(f"{row['alert']} fires again")


@alerts.command()
@CONFIG
@click.option(
    "--match",
    "matches",
    multiple=True,
    required=True,
    metavar="LABEL=VALUE",
    help="model, rule, severity, subject, segment, score, team …; values may hold * and begin with ! for «not».",
)
@click.option("--for", "length", default="1h", show_default=True, help="How long, as in 30m, 2h, 7d.")
@click.option("--start", default=None, help="When it begins (ISO 8601); now, if you do not say.")
@click.option("--reason", required=True, help="Why; it stands in the audit trail.")
@AUTHOR
def silence(
    config_path: str, matches: tuple[str, ...], length: str, start: str | None, reason: str, author: str | None
) -> None:  # fmt: skip
    """Keep alerts quiet that match all the given labels. They are computed and stored all the same."""
    from monitor.config.units import parse_duration
    from monitor.export import parse_time
    from monitor.policies import tags_of

    at_ms = now_ms()
    try:
        matchers = _matchers(matches)
        starts_ms = parse_time(start) or at_ms
        ends_ms = starts_ms + parse_duration(length)
    except ValueError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_USAGE)
    tags = tags_of(load(config_path))
    made = of_store(config_path, lambda s: s.actions.silence(matchers, starts_ms, ends_ms, author or user(), reason, at_ms, tags))
    click.echo(f"silence {made['id']} is {made['state']}; end it with: driftd alerts unsilence {made['id']}")


def _matchers(matches: tuple[str, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in matches:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise ValueError(f"--match {text}: write LABEL=VALUE, as in model=credit")
        found.setdefault(name, []).append(value)
    return found


@alerts.command()
@CONFIG
@click.argument("silence_id")
@click.option("--reason", default="", help="Why it ends.")
@AUTHOR
def unsilence(config_path: str, silence_id: str, reason: str, author: str | None) -> None:
    """End a silence now."""
    done = of_store(config_path, lambda s: s.actions.unsilence(silence_id, author or user(), reason, now_ms()))
    click.echo(f"silence {done['id']} is over")


@alerts.command()
@CONFIG
@click.option("--all", "all_", is_flag=True, help="Those that are over too.")
def silences(config_path: str, all_: bool) -> None:
    """List the silences."""
    from monitor.terminal import print_silences

    found, _ = of_store(config_path, lambda s: s.actions.list_silences(now_ms()), read_only=True)
    print_silences([s for s in found if all_ or s["state"] != "expired"])


@alerts.command("test")
@CONFIG
@click.option("--channel", required=True, help="A channel of the config.")
def test_channel(config_path: str, channel: str) -> None:
    """Send a message that is marked as a test through one channel, at once; nothing is stored."""
    from alerts.channels.base import Failed, Retry, Skipped
    from alerts.channels.registry import build_channel
    from monitor.channels import marked_as_test

    cfg = load(config_path)
    if channel not in cfg.alerts.channels:
        known = ", ".join(sorted(cfg.alerts.channels)) or "none"
        click.echo(f"--channel {channel}: the config has {known}", err=True)
        sys.exit(EXIT_USAGE)
    require_named(cfg, config_path)
    settings = cfg.alerts.channels[channel]
    at_ms = now_ms()
    outcome = build_channel(settings.type, settings.options()).send(marked_as_test(channel, at_ms), 1, at_ms)
    if isinstance(outcome, Failed):
        click.echo(f"{channel}: {outcome.error}", err=True)
        sys.exit(EXIT_FAILED)
    if isinstance(outcome, Retry):
        click.echo(f"{channel}: {outcome.error}", err=True)
        sys.exit(EXIT_UNREACHABLE)
    if isinstance(outcome, Skipped):
        click.echo(f"{channel}: kept back, {outcome.reason}")
        return
    click.echo(f"{channel}: sent")


def of_store(config_path: str, action: Callable[[Any], Any], read_only: bool = False) -> Any:
    """What an action gives; exit 1 with its reason where it cannot be done."""
    from monitor.store.errors import StoreError

    store = open_stored(load(config_path), read_only=read_only, guest=True)
    try:
        return action(store)
    except (StoreError, ValueError) as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_FAILED)
    finally:
        store.close()


def user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "someone on this machine"


def now_ms() -> int:
    from monitor.app import wall_clock_ms

    return wall_clock_ms()
