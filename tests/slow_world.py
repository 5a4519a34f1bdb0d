"""The small worlds of the tests of slow detectors: a model's config, its reference and events as files, the whole path through children."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from click.testing import CliRunner

from detectors.columns import Columns, DictColumn
from monitor.cli import main
from monitor.store.schema import score

START_MS = 1_767_225_600_000


def write_config(folder: Path, model: str) -> list[str]:
    """One model's keys, `{name: m, ...}` or a block, as the config of a store in folder; the options of commands that use it."""
    lines = "\n".join(f"    {line}" for line in model.strip("\n").split("\n"))
    text = f'store: {{url: "sqlite:///{folder}/d.db"}}\nsources: [{{name: f, type: http, carries: both}}]\nmodels:\n  -\n{lines}\n'
    (folder / "c.yaml").write_text(text)
    return ["-c", str(folder / "c.yaml")]


def drive(*commands: list[Any]) -> list[str]:
    """Run commands of driftd, which must end well; what they print."""
    out = []
    for command in commands:
        done = CliRunner().invoke(main, [str(word) for word in command])
        assert done.exit_code == 0, done.output
        out.append(done.output)
    return out


def build(folder: Path, config: list[str], reference: pd.DataFrame, *options: str) -> str:
    """A reference of rows that may have ids, times and labels."""
    reference.drop(columns=["event_id", "ts"], errors="ignore").to_parquet(folder / "r.parquet")
    return drive(["reference", "build", *config, "--model", "m", "--from", folder / "r.parquet", *options])[0]


def replayed(folder: Path, config: list[str], window: pd.DataFrame, labels: pd.DataFrame | None = None) -> None:
    """Events through the daemon and its slow detectors; labels: event_id, label, label_ts."""
    before = len(list(folder.glob("e*.parquet")))  # a file of the same name would have been read already
    events, came = folder / f"e{before}.parquet", folder / f"l{before}.jsonl"
    window.drop(columns="label", errors="ignore").to_parquet(events)
    if labels is not None:
        labels.to_json(came, orient="records", lines=True)
    drive(["replay", events, *config, *([] if labels is None else ["--labels", came]), "--slow"])


def found(store: Any, subject: str, name: str) -> list[dict[str, Any]]:
    """The rows of one score, in the order of windows."""
    c = score.c
    rows: list[dict[str, Any]] = store.rows(
        score.select().where(c.subject == subject, c.score == name, c.segment == "").order_by(c.window_start_ms)
    )
    return rows


def plain(numeric: Any, score_: Any, label: Any = None, categorical: Any = None) -> Columns:
    """Rows of a model as they are counted."""
    n = len(score_)
    return Columns(
        rows=n, numeric={k: np.asarray(v, dtype=float) for k, v in numeric.items()},
        categorical={k: DictColumn.from_list(list(v)) for k, v in (categorical or {}).items()},
        score=np.asarray(score_, dtype=float), label=DictColumn.from_list(list(label if label is not None else [None] * n)),
        latency_ms=np.full(n, np.nan), error=np.zeros(n, dtype=bool),
    )  # fmt: skip
