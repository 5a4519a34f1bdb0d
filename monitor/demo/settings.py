"""The demo's config, short, as a user would write it, and how long each part of it takes."""

from __future__ import annotations

from dataclasses import dataclass

CONFIG = """\
store: {{url: "sqlite:///{data}/driftd.db"}}
http: {{listen: "127.0.0.1:{port}", allow_actions: true}}
models:
  - name: credit
    task: binary
    positive_label: default
    features: {{income: numeric, age: numeric, region: category}}
    segments: [channel]
    window: {{size: {window_ms}ms, slide: {window_ms}ms, allowed_lateness: 500ms}}
    reference: {{first_windows: 4}}
    labels: {{wait: 1h}}
alerts:
  rules:
    - name: drift
      scores: [drift]
      for_windows: 2
      resolve_windows: 2
      channels: [console]
    - name: accuracy-fell
      subjects: [performance]
      scores: [accuracy]
      fall_by: 0.05
      for_windows: 2
      resolve_windows: 2
      severity: critical
      channels: [console, retrain]
  route: {{channels: [console]}}
  channels:
    console: {{type: log}}
    retrain:
      type: retrain
      url: "http://127.0.0.1:{pipeline_port}/retrain"
      secret_file: "{data}/retrain-secret"
      allow_private: true
      policy: {{mode: approve, observe_windows: 3}}
checkpoint: {{interval: 1s}}
idle_timeout: 5s
log: {{format: json, level: warning}}
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds."""

    calm_s: float = 18.0
    drift_s: float = 15.0
    window_s: float = 3.0
    labels_s: float = 2.5  # until a label comes, in the mean
    approve_s: float = 5.0  # until `--approve auto` does what a human would
    train_s: float = 5.0

    def times(self, speed: float) -> Pace:
        """So many times as fast."""
        return Pace(*(getattr(self, name) / speed for name in self.__slots__))
