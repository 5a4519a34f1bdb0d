"""`driftd status`, `watch` and `models`: the daemon and its models in the terminal, read from the store."""

from __future__ import annotations

import json
import sys
import time

import click

from monitor.commands.common import CONFIG, EXIT_UNREACHABLE, JSON, load, open_stored


@click.command()
@CONFIG
@JSON
def status(config_path: str, as_json: bool) -> None:
    """Show once how the daemon and its models are: partitions, windows, worst levels, alerts."""
    from monitor.app import wall_clock_ms
    from monitor.terminal import console, screen

    cfg = load(config_path)
    store = open_stored(cfg, read_only=True)
    if as_json:
        models = store.reading.fleet([m.name for m in cfg.models])
        click.echo(json.dumps({**store.reading.status(), "models": models}, indent=2))
    else:
        console().print(screen(cfg, store, wall_clock_ms()))
    store.close()


@click.command()
@CONFIG
@JSON
def models(config_path: str, as_json: bool) -> None:
    """List the models: rows, last window, reference, alerts that fire."""
    from monitor.app import wall_clock_ms
    from monitor.terminal import print_models

    cfg = load(config_path)
    store = open_stored(cfg, read_only=True)
    found = [*zip(cfg.models, store.reading.fleet([m.name for m in cfg.models]), strict=True)]
    active = {r.model: r.name for r in store.references() if r.active}
    counted = store.reading.window_counts()
    store.close()
    rows = [
        {**row, "task": m.task, "windows": counted.get(m.name, 0),
         "reference": active.get(m.name) or (row["window"]["reference"] if row["window"] else "")}
        for m, row in found
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        print_models(rows, wall_clock_ms())


@click.command()
@CONFIG
@click.option("--every", default=2.0, show_default=True, type=click.FloatRange(0.2, 3600), help="Seconds between looks.")
@click.option("--times", default=None, type=click.IntRange(1), help="Stop after so many looks; else Ctrl-C.")
def watch(config_path: str, every: float, times: int | None) -> None:
    """Look at the daemon and its models live. Ctrl-C ends it."""
    from rich.live import Live

    from monitor.app import wall_clock_ms
    from monitor.store.errors import StoreUnavailable
    from monitor.terminal import away, console, screen

    cfg = load(config_path)
    store = open_stored(cfg, read_only=True)
    looks = 0
    good = True
    try:
        with Live(console=console(), auto_refresh=False) as live:
            while times is None or looks < times:
                if looks:
                    time.sleep(every)
                try:
                    shown, good = screen(cfg, store, wall_clock_ms()), True
                except StoreUnavailable as error:
                    shown, good = away(str(error)), False
                live.update(shown, refresh=True)
                looks += 1
    except KeyboardInterrupt:
        pass
    finally:
        store.close()
    if not good:
        sys.exit(EXIT_UNREACHABLE)
