"""The picture in README: the demo's screen while version 4 is compared. `python -m tests.screenshot` writes docs/demo.svg."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from rich.console import Console
from rich.panel import Panel

from monitor.demo.run import run_demo
from monitor.demo.screen import Screen

SECONDS = 130.0
WIDTH = 110


def main() -> None:
    kept: list[Panel] = []
    render = Screen.render

    def keep(self: Screen, now_ms: int) -> Panel:
        panel = render(self, now_ms)
        if self.story.retrain is not None and self.story.retrain["verdict"] and self.story.alerts:
            kept[:] = kept or [panel]
        return panel

    Screen.render = keep  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder, open("/dev/null", "w") as nothing:
        run_demo(Path(folder) / "data", 8321, SECONDS, console=Console(file=nothing, width=WIDTH))
    console = Console(record=True, width=WIDTH, file=open("/dev/null", "w"))
    console.print(kept[0])
    svg = console.export_svg(title="make demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)  # no outside address
    out = Path(__file__).resolve().parents[1] / "docs" / "demo.svg"
    out.parent.mkdir(exist_ok=True)
    out.write_text(svg)


if __name__ == "__main__":
    main()
