"""A store with windows, scores and alerts of a simulated model: what the API, the terminal and the page are tested on."""

from __future__ import annotations

from pathlib import Path

from monitor.config import Config, load_config
from monitor.files import replay_batches
from monitor.replay import replay
from monitor.runtime import build_engine, build_models, decode_settings
from monitor.simulate import SimulatedServer
from monitor.store import open_store

NOW_MS = 1_790_000_000_000
CONFIG = """
store: {{url: "sqlite:///{folder}/d.db"}}
http: {{listen: "127.0.0.1:0"}}
models:
  - name: credit
    task: binary
    positive_label: default
    features: {{income: numeric, age: numeric, region: category}}
    segments: [channel]
    window: {{size: 10s, allowed_lateness: 1s}}
    reference: {{first_windows: 2}}
    min_rows: 50
    thresholds: {{psi: {{warn: 0.1, breach: 0.25}}}}
alerts:
  rules: [{{name: drift, scores: [psi], channels: [console]}}]
  channels:
    console: {{type: log}}
    gone: {{type: webhook, url: "http://127.0.0.1:1/", allow_private: true, timeout: 1s}}
"""


def build(folder: Path) -> tuple[Path, Config]:
    """Twelve windows of 400 rows, six calm, six with income drifted; the config's path and the config."""
    start = NOW_MS - 200_000
    server = SimulatedServer(start, 60_000, 60_000, events_per_second=40.0)
    for name, lines in (("events", server.events_until(start + 120_000)), ("labels", server.labels_until(start + 200_000))):
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(lines))
    path = folder / "c.yaml"
    path.write_text(CONFIG.format(folder=folder))
    cfg = load_config(path)
    store = open_store(cfg.store.url)
    store.migrate()
    store.label_wait_ms = {"credit": 10**9}
    models = build_models(cfg, store)
    pieces, _ = replay_batches(folder / "events.jsonl", folder / "labels.jsonl", cfg, decode_settings(cfg, models), None)
    replay(pieces, build_engine(cfg, models, ("replay",)), store, NOW_MS)
    store.close()
    return path, cfg
