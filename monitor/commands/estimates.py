"""`driftd estimates` and `driftd report`: performance before labels, and rows as Evidently shows them."""

from __future__ import annotations

import sys

import click

from monitor.commands.common import CONFIG, EXIT_FAILED, EXIT_USAGE, load, open_stored


@click.command()
@CONFIG
@click.option("--model", required=True, help="The model.")
@click.option("--metric", default=None, help="Only this one, as in `accuracy`.")
@click.option("--segment", default="", help="Rows of this segment, as in `channel=web` (default: all).")
def estimates(config_path: str, model: str, metric: str | None, segment: str) -> None:
    """Show estimated beside realised performance, and how wrong the estimates have been so far."""
    from monitor.estimate_errors import estimates_of, lines_of

    cfg = load(config_path)
    store = open_stored(cfg, read_only=True)
    try:
        if model not in {m.name for m in cfg.models}:
            click.echo(f"--model {model}: the config has {', '.join(m.name for m in cfg.models)}", err=True)
            sys.exit(EXIT_USAGE)
        for line in lines_of(estimates_of(store, model, segment), metric):
            click.echo(line)
    finally:
        store.close()


@click.command()
@CONFIG
@click.option("--model", required=True, help="The model of the window.")
@click.option("--window", "at", required=True, metavar="TIME", help="A time in the window (ISO 8601), or `latest`.")
@click.option("--version", "of", default=None, help="Rows of this version only (default: all).")
@click.option("--out", type=click.Path(dir_okay=False), default=None, help="The HTML file (default: MODEL-START.html).")
def report(config_path: str, model: str, at: str, of: str | None, out: str | None) -> None:
    """Make an Evidently report of a window's sample of rows against the reference's, as one HTML file."""
    from monitor.report import make_report

    cfg = load(config_path)
    store = open_stored(cfg, read_only=True)
    try:
        click.echo(make_report(cfg, store, model, at, of, out))
    except ValueError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_USAGE)
    except RuntimeError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_FAILED)
    finally:
        store.close()
