"""`driftd rows`: the rows that a window kept."""

from __future__ import annotations

import csv
import json
import sys
from datetime import UTC, datetime
from typing import Any

import click

from monitor.commands.common import CONFIG, EXIT_FAILED, EXIT_USAGE, load, open_stored


@click.command()
@CONFIG
@click.option("--model", required=True, help="The model of the window.")
@click.option("--window", "at", required=True, metavar="TIME", help="A time in the window (ISO 8601), or `latest`.")
@click.option("--worst", is_flag=True, help="The rows farthest from the reference (outliers.worst_rows), not the sample.")
@click.option("--version", "of", default=None, help="Rows of this version only (default: all).")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many rows.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "jsonl"]), default="table", show_default=True)
def rows(config_path: str, model: str, at: str, worst: bool, of: str | None, limit: int, form: str) -> None:
    """Show rows that a window kept: its sample, or with --worst those farthest from the reference. Masked columns are not kept."""
    from monitor.runtime import build_models
    from monitor.samples import window_at
    from monitor.window_rows import window_rows

    cfg = load(config_path)
    store = open_stored(cfg, read_only=True, guest=True)
    try:
        if model not in {m.name for m in cfg.models}:
            raise ValueError(f"--model {model}: the config has {', '.join(m.name for m in cfg.models)}")
        start = window_at(store, model, at)
        found = window_rows(store, build_models(cfg, store)[model], start, of, worst, limit)
    except ValueError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_USAGE)
    finally:
        store.close()
    if not found.rows:
        begun = datetime.fromtimestamp(start / 1000.0, UTC).isoformat()
        click.echo(f"{model}, window {begun}: {found.reason}", err=True)
        sys.exit(EXIT_FAILED)
    _print([_flat(row, worst) for row in found.rows], form)
    if form == "table":
        hidden = f", without {', '.join(found.masked)} (sample.mask)" if found.masked else ""
        click.echo(f"{len(found.rows)} of {found.kept} rows kept{hidden}")


def _flat(row: dict[str, Any], worst: bool) -> dict[str, Any]:
    from monitor.export import iso

    fixed = {k: v for k, v in row.items() if k not in ("ts_ms", "features", "numbers") and (worst or k != "distance")}
    return {"ts": iso(row["ts_ms"]), **fixed, **{f"features.{k}": v for k, v in row["features"].items()}, **row["numbers"]}


def _print(found: list[dict[str, Any]], form: str) -> None:
    from monitor.export import harmless
    from monitor.terminal import print_rows

    if form == "table":
        print_rows(found)
    elif form == "jsonl":
        for row in found:
            click.echo(json.dumps(row, ensure_ascii=False))
    else:
        writer = csv.DictWriter(sys.stdout, list(found[0]), lineterminator="\n")
        writer.writerow({name: harmless(name) for name in found[0]})
        writer.writerows({name: harmless(value) for name, value in row.items()} for row in found)
