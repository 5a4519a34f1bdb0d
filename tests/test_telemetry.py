"""Peers send nothing: whoever imports a test or a bench has their telemetry off, however it was started."""

from __future__ import annotations

import os
import subprocess
import sys


def test_a_bench_started_bare_has_the_peers_telemetry_off() -> None:
    bare = {k: v for k, v in os.environ.items() if k not in ("DO_NOT_TRACK", "NML_DISABLE_USAGE_LOGGING")}
    code = "import tests.bench.quality.null, os; print(os.environ['DO_NOT_TRACK'], os.environ['NML_DISABLE_USAGE_LOGGING'])"
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]
