"""The picture in README: the demo's screen after its retrain call. `python -m tests.screenshot` writes docs/demo.svg."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from rich.console import Console

from monitor import demo

SECONDS = 80.0


def main() -> None:
    kept: list[object] = []
    render = demo.Screen.render

    def keep(self: demo.Screen) -> object:
        panel = render(self)
        kept[:] = [panel]
        return panel

    demo.Screen.render = keep  # type: ignore[method-assign, assignment]
    with tempfile.TemporaryDirectory() as folder, open("/dev/null", "w") as nothing:
        demo.run_demo(Path(folder) / "data", 8321, SECONDS, Console(file=nothing, width=100))
    console = Console(record=True, width=100, file=open("/dev/null", "w"))
    console.print(kept[0])
    svg = console.export_svg(title="make demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)  # no outside address
    out = Path(__file__).resolve().parents[1] / "docs" / "demo.svg"
    out.parent.mkdir(exist_ok=True)
    out.write_text(svg)


if __name__ == "__main__":
    main()
