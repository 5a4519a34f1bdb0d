"""The command `driftd backtest`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.commands.alerts import now_ms
from monitor.commands.common import CONFIG, EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE, load

if TYPE_CHECKING:
    from monitor.backtest import Outcome

MOST_LISTED = 40
FILE = click.Path(exists=True, dir_okay=False)


def _budgets(ctx: click.Context, param: click.Parameter, value: str) -> list[float]:
    try:
        found = [float(part) for part in value.split(",")]
    except ValueError:
        found = []
    if not found or any(b < 0 for b in found):
        raise click.BadParameter(f"{value!r}: write numbers, as in 0.25,1,4")
    return found


@click.command()
@CONFIG
@click.option("--model", required=True, help="The model to run.")
@click.option("--from", "from_", type=FILE, help="Events: parquet, csv or jsonl.")
@click.option("--topic-dump", type=FILE, help="Events and labels: one Kafka record as JSON a line, as `replay` reads it.")
@click.option("--topics", is_flag=True, help="What the Kafka topics of the config hold, from their beginning to now.")
@click.option("--store", "stored", is_flag=True, help="The panes that the config's store holds.")
@click.option("--labels", type=FILE, help="A file of labels for the events of --from.")
@click.option("--budgets", default="0.25,1,4", show_default=True, callback=_budgets, help="False alarms a week, by comma.")
@click.option("--format", "form", type=click.Choice(["table", "jsonl"]), default="table", show_default=True)
def backtest(
    config_path: str, model: str, from_: str | None, topic_dump: str | None, topics: bool, stored: bool, labels: str | None,
    budgets: list[float], form: str,
) -> None:  # fmt: skip
    """Run a config over past data: what would have alerted, when, and how that changes with the budget.

    Nothing is written to the config's store, and nobody is told.
    """
    from tempfile import TemporaryDirectory

    from monitor.backtest import backtest as run
    from monitor.config.secret import SecretMissing
    from monitor.replay import FencedReplay
    from monitor.sources import SourceError
    from monitor.topic_history import write_history

    if sum((from_ is not None, topic_dump is not None, topics, stored)) != 1:
        raise click.UsageError("give one of --from FILE, --topic-dump FILE, --topics and --store")
    cfg = load(config_path)
    file = from_ or topic_dump
    store = _readable(cfg)
    outcomes = []
    try:
        with TemporaryDirectory(prefix="driftd-backtest-") as folder:
            beside = Path(labels) if labels else None
            if topics:
                file = f"{folder}/topics.jsonl"
                click.echo(f"{write_history(cfg, Path(file), now_ms()):,} messages of the topics", err=True)
            for outcome in run(cfg, model, budgets, Path(folder), store, Path(file) if file else None, beside):
                outcomes.append(outcome)
                if form == "jsonl":
                    _print_lines(outcome)
    except FencedReplay as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_FAILED)
    except SourceError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_UNREACHABLE)
    except (SecretMissing, ValueError) as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_USAGE)
    finally:
        if store is not None:
            store.close()
    for line in outcomes[0].drops:  # the same whatever the budget
        click.echo(line, err=True)
    if form == "table":
        own = next(m.false_alarms_per_week for m in cfg.models if m.name == model)
        _print_tables(model, outcomes, own)


def _readable(cfg: Any) -> Any | None:
    """The config's store for reading; None where there is none yet, or it cannot be had."""
    from monitor.config.secret import SecretMissing
    from monitor.store import open_store
    from monitor.store.errors import StoreError

    try:
        store = open_store(cfg.store.sqlalchemy_url(), read_only=True)
        store.require_schema()
        return store
    except (StoreError, SecretMissing) as error:
        click.echo(f"without the config's store, its references and panes: {error}", err=True)
        return None


def _print_lines(outcome: Outcome) -> None:
    for fired in outcome.alerts:
        click.echo(json.dumps({"kind": "alert", "budget": outcome.budget, **asdict(fired)}))
    summary = {"budget": outcome.budget, "windows": outcome.windows, "bad_windows": outcome.bad_windows}
    per_week = len(outcome.alerts) / outcome.weeks
    click.echo(json.dumps({"kind": "summary", **summary, "alerts": len(outcome.alerts), "alerts_per_week": round(per_week, 4)}))


def _print_tables(model: str, outcomes: list[Outcome], own: float) -> None:
    from rich.table import Table

    from monitor.terminal import console

    counts = Table(title=f"{model}: alerts by budget", title_justify="left")
    for name in ("false alarms a week", "windows", "windows with a breach", "alerts", "alerts a week"):
        counts.add_column(name, justify="right")
    for o in outcomes:
        rate = len(o.alerts) / o.weeks
        counts.add_row(f"{o.budget:g}", str(o.windows), str(o.bad_windows), str(len(o.alerts)), f"{rate:.3g}")
    out = console()
    out.print(counts)
    shown = min(outcomes, key=lambda o: abs(o.budget - own))
    listed = Table(title=f"alerts at {shown.budget:g} a week", title_justify="left")
    for name in ("since", "until", "rule", "subject", "score", "segment", "value", "limit", "limit by"):
        listed.add_column(name, justify="right" if name in ("value", "limit") else "left")
    for f in shown.alerts[:MOST_LISTED]:
        until = "still firing" if f.until_ms is None else _time(f.until_ms)
        listed.add_row(
            _time(f.since_ms), until, f.rule, f.subject, f.score, f.segment, _number(f.value), _number(f.limit), f.limit_rule
        )
    out.print(listed)
    if len(shown.alerts) > MOST_LISTED:
        out.print(f"and {len(shown.alerts) - MOST_LISTED} more; --format jsonl prints all")


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000.0, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
