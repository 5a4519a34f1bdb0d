"""A real Prometheus that scrapes one address."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.ports import answers, end, free_port, wait_for


class Prometheus:
    def __init__(self, target: str) -> None:
        if shutil.which("prometheus") is None:
            raise RuntimeError("no prometheus found: `make servers` installs it")
        self.folder = Path(tempfile.mkdtemp(prefix="driftd-prometheus-"))
        self.port = free_port()
        (self.folder / "p.yml").write_text(
            f"global: {{scrape_interval: 500ms}}\nscrape_configs:\n- job_name: driftd\n  static_configs: [{{targets: ['{target}']}}]\n"
        )
        arguments = [
            f"--config.file={self.folder}/p.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(["prometheus", *arguments], stdout=log, stderr=log, cwd=self.folder)
        wait_for(lambda: answers(self.port) and self._ready(), 30, "Prometheus")

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5):
                return True
        except urllib.error.URLError:
            return False

    def query(self, text: str, seconds: float = 45.0) -> list[dict[str, Any]]:
        """The result of an instant query, waited for until it is not empty."""
        until = time.monotonic() + seconds
        while True:
            url = f"http://127.0.0.1:{self.port}/api/v1/query?query={urllib.parse.quote(text)}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            if found or time.monotonic() > until:
                return found
            time.sleep(0.3)

    def close(self) -> None:
        end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)
