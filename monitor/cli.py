"""The command `driftd`. Exit codes: 0 done; 1 failed while running; 2 wrong usage or configuration;
3 a service (store, Kafka, channel) could not be reached.

Heavy modules are imported inside the commands, so that `driftd version` and `--help` answer at once.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from monitor import logs
from monitor.commands.alerts import alerts, explain
from monitor.commands.backtest import backtest
from monitor.commands.common import CONFIG, EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE, Commands, load, open_stored, require_named
from monitor.commands.estimates import estimates, report
from monitor.commands.retrains import retrains
from monitor.commands.rows import rows
from monitor.commands.watch import models, status, watch


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a service could not be reached.",
)
def main() -> None:
    """driftd watches machine-learning models in production.

    It reads inference logs, joins labels that come later, computes drift and performance in event-time
    windows, stores them, exports Prometheus metrics, and alerts.

    \b
    Start here:
      driftd demo                     see it work, on embedded defaults
      driftd check config.yaml        explain every mistake of a configuration
      driftd run -c config.yaml       the daemon
    """
    logs.for_a_command()


@main.command()
def version() -> None:
    """Print the version, and how this installation decodes: in C, or more slowly where that was not built."""
    from importlib.metadata import version as installed

    from monitor.decode.scan import DECODED_BY

    click.echo(f"driftd {installed('driftd')} (decodes with {DECODED_BY})")


@main.command()
@CONFIG
def run(config_path: str) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; both drain what was read, then exit 0."""
    from monitor import app
    from monitor.sources import SourceError

    cfg = load(config_path)
    require_named(cfg, config_path)
    if not cfg.sources:
        click.echo(f"{config_path}: sources is empty, there is nothing to read; add one, see config.yaml", err=True)
        sys.exit(EXIT_USAGE)
    logs.setup(cfg.log.format, cfg.log.level)
    try:
        app.run(cfg)
    except (SourceError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_UNREACHABLE)


@main.command()
@click.argument("config_path", type=click.Path(dir_okay=False), default="config.yaml")
@click.option("--connect", is_flag=True, help="Also try each Kafka, database and channel.")
@click.option("--quiet", is_flag=True, help="Print problems only, not the effective configuration.")
def check(config_path: str, connect: bool, quiet: bool) -> None:
    """Explain every mistake of a configuration at once, then print it as it takes effect."""
    from monitor.config import effective, refused_outcomes
    from monitor.policies import never_called

    cfg = load(config_path)
    require_named(cfg, config_path)
    if not quiet:
        click.echo(effective(cfg))
    for name in never_called(cfg.alerts):
        click.echo(
            f"alerts.channels.{name}: no rule and no route names it, so it is never called; name it in channels of one", err=True
        )
    for note in refused_outcomes(cfg, config_path, Path(config_path).read_text(encoding="utf-8")):
        click.echo(str(note), err=True)
    if connect:
        from monitor.connect import NOT_TRIED, try_all

        failed = 0
        for name, problem in try_all(cfg):
            failed += problem not in (None, NOT_TRIED)
            click.echo(f"{name}: {problem or 'ok'}")
        if failed:
            sys.exit(EXIT_UNREACHABLE)
    click.echo(f"{config_path}: valid", err=True)


@main.command()
@CONFIG
def migrate(config_path: str) -> None:
    """Bring the store's tables to this release's shape. Safe to run twice and by two at once."""
    store = open_stored(load(config_path))
    click.echo(f"store is at schema version {store.schema_version()}")
    store.close()


@main.command()
@click.option("--seconds", type=float, default=None, help="Stop by itself after so long; else Ctrl-C.")
@click.option("--data", default="demo-data", show_default=True, help="Folder of the demo's database; made anew.")
@click.option("--port", default=8321, show_default=True, help="Port of the page and of /metrics; 0 takes a free one.")
@click.option(
    "--approve",
    type=click.Choice(["auto", "ask"]),
    default="auto",
    show_default=True,
    help="The retrain: by itself after some seconds, or when you say so (Enter, the page, `driftd retrains approve`).",
)
@click.option("--speed", type=click.FloatRange(0.3, 3.0), default=1.0, show_default=True, help="So many times as fast.")
def demo(seconds: float | None, data: str, port: int, approve: str, speed: float) -> None:
    """Watch a simulated model drift, an alert, a retrain and what it brought, within two minutes, on this machine alone."""
    from monitor.demo.run import run_demo
    from monitor.demo.settings import Pace

    sys.exit(run_demo(Path(data), port, seconds, approve, Pace().times(speed)))


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@CONFIG
@click.option("--labels", type=click.Path(exists=True, dir_okay=False), help="A file of labels for the events.")
@click.option("--model", default=None, help="The model of rows that name none (default: the config's only one).")
@click.option("--slow", is_flag=True, help="Run slow detectors on every window too: seconds a window.")
def replay(file: str, config_path: str, labels: str | None, model: str | None, slow: bool) -> None:
    """Send a FILE of events (parquet, csv, jsonl, or a Kafka dump) through the same engine, in event time.

    Results go to the same store as the daemon's: a backfill, or the dry run of a configuration.
    """
    from rich.progress import Progress

    from monitor.app import bound_memory, spare_the_collector, wall_clock_ms
    from monitor.files import replay_batches
    from monitor.performance_pane import exchanged_payloads
    from monitor.replay import FencedReplay
    from monitor.replay import replay as run_replay
    from monitor.runtime import build_engine, build_models, decode_settings
    from monitor.slow import slow_rounds

    bound_memory()
    cfg = load(config_path)
    require_named(cfg, config_path, secrets=False)
    store = open_stored(cfg)
    store.label_wait_ms = {m.name: m.labels.wait_ms for m in cfg.models}
    models = build_models(cfg, store)
    store.committer.payloads = exchanged_payloads(m.schema for m in models.values())
    settings = decode_settings(cfg, models)
    try:
        batches, total = replay_batches(Path(file), Path(labels) if labels else None, cfg, settings, model)
        engine = build_engine(cfg, models, ("replay",))
        spare_the_collector()
        with Progress(transient=True) as bar:
            task = bar.add_task("replay", total=total)
            look = slow_rounds(cfg, store) if slow else lambda model: 0
            report = run_replay(batches, engine, store, wall_clock_ms(), progress=lambda n: bar.advance(task, n), slow=look)
    except FencedReplay as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_FAILED)
    except ValueError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_USAGE)
    finally:
        store.close()
    click.echo(
        f"{report.messages} messages, {report.windows} windows published, {report.scores} scores, "
        f"{report.notifications} notifications"
    )
    for line in report.drops():
        click.echo(line, err=True)


@main.command()
@click.argument("what", type=click.Choice(["windows", "scores", "alerts"]))
@CONFIG
@click.option("--format", "form", type=click.Choice(["csv", "jsonl", "parquet"]), default="csv", show_default=True)
@click.option("--model", default=None, help="Only this model.")
@click.option("--from", "from_", default=None, help="Windows that start at this time or later (ISO 8601).")
@click.option("--to", default=None, help="Windows that start before this time (ISO 8601).")
@click.option("--out", default="-", help="File to write; - is standard output.")
def export(what: str, config_path: str, form: str, model: str | None, from_: str | None, to: str | None, out: str) -> None:
    """Print flat rows of windows, scores or alerts; the columns are a stable contract, see README."""
    from monitor.export import write_rows

    cfg = load(config_path)
    store = open_stored(cfg, read_only=True)
    try:
        write_rows(store, what, form, model, from_, to, out)
    except ValueError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_USAGE)
    finally:
        store.close()


for command in (alerts, backtest, estimates, explain, models, report, retrains, rows, status, watch):
    main.add_command(command)


@main.group()
def reference() -> None:
    """Build, list, show and activate references: what windows are compared with."""


@reference.command("build")
@CONFIG
@click.option("--model", required=True, help="The model that the reference is for.")
@click.option("--from", "from_", required=True, type=click.Path(exists=True, dir_okay=False), help="parquet, csv or jsonl.")
@click.option("--type", "types", multiple=True, metavar="FEATURE=KIND", help="Override an inferred type: numeric or category.")
@click.option("--items", type=click.Path(exists=True, dir_okay=False), help="item_id and features of a ranking model's items.")
@click.option("--activate/--no-activate", default=True, show_default=True, help="Use it for new panes.")
def reference_build(config_path: str, model: str, from_: str, types: tuple[str, ...], items: str | None, activate: bool) -> None:
    """Make a small versioned profile of a file and keep it in the store."""
    from monitor.references import build_reference

    cfg = load(config_path)
    store = open_stored(cfg, guest=True)
    try:
        for line in build_reference(cfg, store, model, Path(from_), types, activate, Path(items) if items else None):
            click.echo(line)
    except ValueError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_USAGE)
    finally:
        store.close()


@reference.command("list")
@CONFIG
@click.option("--model", default=None)
def reference_list(config_path: str, model: str | None) -> None:
    """List the stored references."""
    from monitor.references import list_references

    cfg = load(config_path)
    store = open_stored(cfg, read_only=True)
    for line in list_references(cfg, store, model):
        click.echo(line)
    store.close()


@reference.command("show")
@CONFIG
@click.option("--model", required=True)
@click.argument("name")
def reference_show(config_path: str, model: str, name: str) -> None:
    """Show what a reference holds: features, types, rows, shares."""
    from monitor.references import show_reference

    store = open_stored(load(config_path), read_only=True)
    try:
        for line in show_reference(store, model, name):
            click.echo(line)
    except ValueError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_USAGE)
    finally:
        store.close()


@reference.command("activate")
@CONFIG
@click.option("--model", required=True)
@click.argument("name")
@click.option("--all-time", is_flag=True, help="For events of any time, as in a replay of old ones; not in two minutes.")
def reference_activate(config_path: str, model: str, name: str, all_time: bool) -> None:
    """Use a reference for the panes that begin in two minutes and later; a running daemon switches by itself."""
    from monitor.references import activate_reference

    store = open_stored(load(config_path), guest=True)
    try:
        click.echo(activate_reference(store, model, name, all_time))
    except ValueError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_USAGE)
    finally:
        store.close()


if __name__ == "__main__":
    main()
