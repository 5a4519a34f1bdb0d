"""The architecture holds: imports only go down, without cycles, and no file grows beyond one idea."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {"detectors": 0, "alerts": 1, "monitor": 2}
MAX_BYTES = 24_000


def modules():
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{a.name}" for a in node.names)


def test_imports_only_go_down():
    for name, path in modules():
        for used in imports(path):
            top = used.partition(".")[0]
            if top in FLOORS:
                assert FLOORS[top] <= FLOORS[name.partition(".")[0]], f"{name} imports {used}"


def test_the_lower_floors_are_pure():
    for name, path in modules():
        if name.startswith("detectors"):
            known = {u.partition(".")[0] for u in imports(path)}
            assert not known & {"time", "logging", "os", "pathlib", "sqlalchemy", "socket", "threading", "pydantic"}, name


def test_alerts_see_only_findings_of_the_detectors():
    for name, path in modules():
        if name.startswith("alerts"):
            used = {u for u in imports(path) if u.startswith("detectors.")}
            assert all(u.startswith("detectors.score") for u in used), (name, used)


def test_there_is_no_cycle():
    known = dict(modules())
    edges = {name: {u for u in imports(path) if u in known and u != name} for name, path in known.items()}
    # a package's own __init__ names its parts: that is no cycle
    for name in edges:
        edges[name] = {u for u in edges[name] if not name.startswith(u + ".") and not u.startswith(name + ".")}
    done, active = set(), []

    def visit(name):
        assert name not in active, " -> ".join([*active[active.index(name) :], name])
        if name not in done:
            active.append(name)
            for used in sorted(edges[name]):
                visit(used)
            active.pop()
            done.add(name)

    for name in edges:
        visit(name)


def test_no_file_is_too_large():
    assert [name for name, path in modules() if path.stat().st_size > MAX_BYTES] == []


def test_the_daemon_starts_without_the_heavy_packages():
    code = "import sys, monitor.app; print([m for m in ('evidently', 'pandas', 'sklearn', 'scipy.stats', 'botocore', 'google.auth') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_no_pickle():
    for name, path in modules():
        assert not {u.partition(".")[0] for u in imports(path)} & {"pickle", "marshal", "dill", "joblib"}, name
