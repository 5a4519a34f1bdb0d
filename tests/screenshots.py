"""The pictures of the built-in page in README, of the simulated model. `python -m tests.screenshots` writes docs/*.png."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from monitor.health import Health
from monitor.metrics import Metrics
from monitor.runtime import build_models
from monitor.store import open_store
from monitor.web import Access, Shown, WebServer
from tests.seeded import NOW_MS, build
from tests.servers.chromium import Chromium

DOCS = Path(__file__).resolve().parents[1] / "docs"
PLACES = {"model": "/models/credit", "feature": "/models/credit/features/income"}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        _, cfg = build(Path(name))
        store = open_store(cfg.store.url)
        shown = Shown(store, build_models(cfg, store), {}, lambda: NOW_MS, "", "")
        server = WebServer("127.0.0.1:0", Metrics(), Health(), None, Access(), 10_000, shown)
        server.start()
        chromium = Chromium(width=1180, height=760)
        try:
            for picture, place in PLACES.items():
                chromium.driver.get(server.address + place)
                while chromium.driver.find_element("id", "main").get_attribute("aria-busy") != "false":
                    time.sleep(0.05)
                time.sleep(0.5)  # plots draw in the next frames
                chromium.driver.save_screenshot(str(DOCS / f"{picture}.png"))
        finally:
            chromium.close()
            server.stop()
            store.close()


if __name__ == "__main__":
    main()
