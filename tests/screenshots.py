"""The pictures in README, of the demo while it runs. `python -m tests.screenshots` writes docs/demo.svg and docs/*.png.

demo.svg is the demo's screen while version 4 is compared, the others are the built-in page when all is resolved.
"""

from __future__ import annotations

import re
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import orjson
from rich.console import Console
from rich.panel import Panel

from monitor.demo.run import run_demo
from monitor.demo.screen import Screen
from monitor.demo.settings import Pace
from tests.servers.chromium import Chromium
from tests.servers.ports import free_port

DOCS = Path(__file__).resolve().parents[1] / "docs"
SECONDS = 160.0
WIDTH = 110


class Watcher:
    """Told each picture that the demo's screen shows; keeps one, and takes those of the page."""

    def __init__(self, address: str) -> None:
        self.kept: Panel | None = None
        self._resolved = threading.Event()
        self._address = address
        self.thread = threading.Thread(target=self._take, name="pictures", daemon=True)
        self.thread.start()

    def look(self, screen: Screen, panel: Panel) -> None:
        retrain = screen.story.retrain
        if retrain is None or not retrain["verdict"]:
            return
        if screen.story.alerts:
            self.kept = self.kept or panel
        else:
            self._resolved.set()

    def _take(self) -> None:
        self._resolved.wait()
        with urllib.request.urlopen(f"{self._address}/v1/alerts?model=credit") as answer:
            alert = next(row for row in orjson.loads(answer.read())["rows"] if row["subject"] == "income")
        chromium = Chromium(width=1180, height=1130)
        chromium.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        start = alert["since_ms"] + 2 * int(Pace().window_s * 1000)
        feature = f"/models/credit/features/income?version={alert['version']}&start={start}"
        try:
            for picture, place in {"model": "/models/credit", "feature": feature}.items():
                chromium.driver.get(self._address + place)
                while chromium.driver.find_element("id", "main").get_attribute("aria-busy") != "false":
                    time.sleep(0.05)
                time.sleep(0.5)  # plots draw in the next frames
                chromium.driver.save_screenshot(str(DOCS / f"{picture}.png"))
        finally:
            chromium.close()


def main() -> None:
    port = free_port()
    watcher = Watcher(f"http://127.0.0.1:{port}")
    render = Screen.render

    def watched(self: Screen, now_ms: int) -> Panel:
        panel = render(self, now_ms)
        watcher.look(self, panel)
        return panel

    Screen.render = watched  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder, open("/dev/null", "w") as nothing:
        run_demo(Path(folder) / "data", port, SECONDS, console=Console(file=nothing, width=WIDTH))
        assert watcher.kept is not None, f"the demo was not resolved within {SECONDS:.0f} s: the machine is too busy"
    console = Console(record=True, width=WIDTH, file=open("/dev/null", "w"))
    console.print(watcher.kept)
    svg = console.export_svg(title="make demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)  # no outside address
    svg = svg.replace(f"127.0.0.1:{port}", "127.0.0.1:8321")
    (DOCS / "demo.svg").write_text(svg)


if __name__ == "__main__":
    main()
