"""`driftd status` and `driftd watch`: the daemon and its models in the terminal, read from the store."""

from __future__ import annotations

import sys
import time

import click

from monitor.commands.common import CONFIG, EXIT_UNREACHABLE, load, open_stored


@click.command()
@CONFIG
def status(config_path: str) -> None:
    """Show once how the daemon and its models are: partitions, windows, worst levels, alerts."""
    from monitor.app import wall_clock_ms
    from monitor.terminal import console, screen

    cfg = load(config_path)
    store = open_stored(cfg, read_only=True)
    console().print(screen(cfg, store, wall_clock_ms()))
    store.close()


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
