"""What all commands share: exit codes, the option for the config, how config and store are opened."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE = 1, 2, 3
CONFIG = click.option(
    "--config", "-c", "config_path", default="config.yaml", show_default=True, type=click.Path(dir_okay=False),
    help="The configuration file.",
)  # fmt: skip

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


class Commands(click.Group):
    """The group of all commands: what the store raises while one runs ends it with the reason and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            from monitor.store.errors import StoreError, StoreUnavailable

            if not isinstance(error, StoreError | StoreUnavailable):
                raise
            click.echo(f"store: {error}", err=True)
            sys.exit(EXIT_UNREACHABLE if isinstance(error, StoreUnavailable) else EXIT_FAILED)


def inherit_config(context: click.Context) -> None:
    """What a group was given as -c is what its commands take where they are given none."""
    path = context.params["config_path"]
    commands = context.command.commands if isinstance(context.command, click.Group) else {}
    context.default_map = {name: {"config_path": path} for name in commands}


def require_model(cfg: Any, model: str | None) -> None:
    """Exit 2 where the config has no such model; for lists that found nothing of it."""
    names = sorted(m.name for m in cfg.models)
    if model is not None and model not in names:
        click.echo(f"--model {model}: the config has {', '.join(names) or 'no model'}", err=True)
        sys.exit(EXIT_USAGE)


def load(path: str) -> Any:
    """The config; every mistake is printed, exit 2."""
    from monitor.config import ConfigError, load_config

    try:
        return load_config(Path(path))
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        click.echo(f"{len(error.problems)} problem(s) in {path}", err=True)
        sys.exit(EXIT_USAGE)


def require_named(cfg: Any, path: str, secrets: bool = True) -> None:
    """Exit 2 where a secret or a function that the config names is not there. secrets: whether they are needed."""
    from monitor.config import missing_secrets, unusable_functions

    text = Path(path).read_text(encoding="utf-8")
    problems = [*(missing_secrets(cfg, path, text) if secrets else ()), *unusable_functions(cfg, path, text)]
    for problem in problems:
        click.echo(str(problem), err=True)
    if problems:
        sys.exit(EXIT_USAGE)


def open_stored(cfg: Any, read_only: bool = False, guest: bool = False) -> Any:
    """The config's store; exit 1 or 3 with the reason where it cannot be opened.

    guest: write beside a daemon that has an SQLite file; SQLite itself keeps short transactions apart.
    """
    from monitor.config.secret import SecretMissing
    from monitor.store import open_store
    from monitor.store.errors import StoreError, StoreLocked, StoreUnavailable

    try:
        url = cfg.store.sqlalchemy_url()
        try:
            store = open_store(url, read_only=read_only)
        except StoreLocked:
            if not guest:
                raise
            store = open_store(url, guest=True)
            store.require_schema()
            return store
        if read_only:
            store.require_schema()
        else:
            store.migrate()
        return store
    except SecretMissing as error:
        click.echo(f"store: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except StoreUnavailable as error:
        click.echo(f"store: {error}", err=True)
        sys.exit(EXIT_UNREACHABLE)
    except StoreError as error:
        click.echo(f"store: {error}", err=True)
        sys.exit(EXIT_FAILED)
