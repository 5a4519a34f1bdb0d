"""What ships: the wheel holds every package, the deployment's config is valid, versions are pinned without addresses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from monitor.config import load_config

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_named():
    found = {
        ".".join(p.parent.relative_to(ROOT).parts)
        for top in ("detectors", "alerts", "monitor")
        for p in (ROOT / top).rglob("__init__.py")
    }
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


def test_the_deployment_config_is_valid():
    assert load_config(ROOT / "deploy" / "config.yaml").models[0].name == "credit"


def test_the_compose_file_mounts_what_exists_and_shows_no_port_to_the_outside():
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    assert set(compose["services"]) == {"driftd", "kafka", "postgres", "prometheus", "grafana"}
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / "deploy" / source).exists(), volume
        assert all(str(p).startswith("127.0.0.1:") for p in service.get("ports", []))
    for path in (ROOT / "deploy").rglob("*.y*ml"):
        assert yaml.safe_load(path.read_text()), path


def test_every_dependency_is_pinned_without_an_address():
    text = (ROOT / "constraints.txt").read_text()
    pinned = {re.split("==", line)[0].lower().replace("_", "-") for line in text.splitlines() if "==" in line}
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["test"]
    names = {re.split(r"[\[<>=!~ ]", d)[0].lower().replace("_", "-") for d in wanted}
    assert names <= pinned, names - pinned
    assert "://" not in text and "@" not in text


def test_the_image_copies_every_package_and_is_not_root():
    text = (ROOT / "Dockerfile").read_text()
    assert (
        all(f"COPY {top} {top}" in text for top in ("detectors", "alerts", "monitor"))
        and "USER 65532" in text
        and "HEALTHCHECK" in text
    )


def test_the_parts_in_c_are_built_in_the_image_and_from_all_their_files():
    text = (ROOT / "Dockerfile").read_text()
    assert "gcc" in text and "setup.py" in text and "abi3" in text
    named = (ROOT / "setup.py").read_text()
    for path in [*(ROOT / "monitor").rglob("*.[ch]"), *(ROOT / "detectors").rglob("*.[ch]")]:
        assert path.name in named, f"setup.py does not name {path.name}"
