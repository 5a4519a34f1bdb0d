"""The Grafana dashboards, made by code: `python -m dashboards.make` writes dashboards/*.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from dashboards import daemon, feature, fleet, labels, model
from dashboards.panels import Json

HERE = Path(__file__).parent
DASHBOARDS: dict[str, Callable[[], Json]] = {
    "fleet": fleet.dashboard,
    "model": model.dashboard,
    "feature": feature.dashboard,
    "labels": labels.dashboard,
    "daemon": daemon.dashboard,
}


def render(name: str) -> str:
    return json.dumps(DASHBOARDS[name](), indent=1) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (HERE / f"{each}.json").write_text(render(each))
