"""`driftd retrains`: what was asked of training pipelines; approve, reject, report, go on."""

from __future__ import annotations

import json

import click

from alerts.retraining.policy import STATUSES
from monitor.commands.alerts import AUTHOR, now_ms, of_store, user
from monitor.commands.common import CONFIG, JSON, inherit_config, load, require_model


@click.group()
@CONFIG
@click.pass_context
def retrains(context: click.Context, config_path: str) -> None:
    """List retrains, approve or reject one, report for a job, go on after some that did not help."""
    inherit_config(context)


@retrains.command("list")
@CONFIG
@click.option("--model", default=None, help="Only this model.")
@click.option("--status", default=None, type=click.Choice(STATUSES), help="Only this status.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="So many at most.")
@JSON
def list_(config_path: str, model: str | None, status: str | None, limit: int, as_json: bool) -> None:
    """List the retrains, newest first."""
    from monitor.terminal import print_retrains

    rows, following = of_store(config_path, lambda s: s.retrains.listed(model, status, limit), read_only=True)
    if not rows:
        require_model(load(config_path), model)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        print_retrains(rows, status)
    if following is not None:
        click.echo(f"there are older ones: the newest {limit} are shown, --limit shows more", err=True)


@retrains.command()
@CONFIG
@click.argument("retrain")
def show(config_path: str, retrain: str) -> None:
    """Show one RETRAIN whole, as JSON: the request with its lineage, how it went, whether it helped."""
    click.echo(json.dumps(of_store(config_path, lambda s: s.retrains.get(retrain), read_only=True), indent=2))


@retrains.command()
@CONFIG
@click.argument("retrain")
@click.option("--reason", default="", help="Why; it stands in the audit trail.")
@AUTHOR
def approve(config_path: str, retrain: str, reason: str, author: str | None) -> None:
    """Let a proposed RETRAIN begin."""
    row = of_store(config_path, lambda s: s.retrains.approve(retrain, author or user(), reason, now_ms()))
    click.echo(f"{row['id']} is approved; the daemon starts it")


@retrains.command()
@CONFIG
@click.argument("retrain")
@click.option("--reason", required=True, help="Why; it stands in the audit trail.")
@AUTHOR
def reject(config_path: str, retrain: str, reason: str, author: str | None) -> None:
    """End a proposed RETRAIN before it begins."""
    row = of_store(config_path, lambda s: s.retrains.reject(retrain, author or user(), reason, now_ms()))
    click.echo(f"{row['id']} is rejected")


@retrains.command()
@CONFIG
@click.argument("retrain")
@click.option("--status", required=True, type=click.Choice(["started", "succeeded", "failed"]))
@click.option("--version", default="", help="Of the new model.")
@click.option("--detail", default="", help="In words.")
@click.option("--reference", default="", help="A built reference that fits the new version.")
def report(config_path: str, retrain: str, status: str, version: str, detail: str, reference: str) -> None:
    """Say how the job of a RETRAIN is doing, where it cannot say so itself."""
    row = of_store(config_path, lambda s: s.retrains.report(retrain, status, now_ms(), version, detail, reference, user()))
    click.echo(f"{row['id']} is {row['status']}")


@retrains.command()
@CONFIG
@click.option("--model", required=True, help="The model whose retrains did not help.")
@click.option("--reason", required=True, help="What was found; it stands in the audit trail.")
@AUTHOR
def reset(config_path: str, model: str, reason: str, author: str | None) -> None:
    """Go on after retrains that did not help: somebody has looked."""
    of_store(config_path, lambda s: s.retrains.reset(model, author or user(), reason, now_ms()))
    click.echo(f"{model}: retrains may begin again")
