"""dashboards/rules.yml: what promtool says of it, that each rule is tested to fire and to be quiet, and that its metrics exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from monitor.metrics import Metrics

HERE = Path(__file__).parent
RULES = HERE.parent / "dashboards" / "rules.yml"
TESTS = HERE / "prometheus_rules.yml"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"] if "alert" in rule]


@pytest.mark.parametrize("command", [("check", "rules", str(RULES)), ("test", "rules", str(TESTS))], ids=["check", "test"])
def test_promtool_accepts_the_rules(command):
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, cwd=HERE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_each_rule_is_tested_to_fire_and_to_be_quiet(rule):
    tried = [
        t for case in yaml.safe_load(TESTS.read_text())["tests"] for t in case["alert_rule_test"] if t["alertname"] == rule["alert"]
    ]
    assert any(t["exp_alerts"] for t in tried) and any(not t["exp_alerts"] for t in tried)
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"]["summary"] and rule["annotations"]["description"].endswith(".")


def test_the_rules_ask_for_metrics_that_driftd_has():
    names = {line.split()[2] for line in Metrics().render()[0].decode().splitlines() if line.startswith("# TYPE")}
    asked = {name for name in re.findall(r"\bdriftd_\w+", RULES.read_text())}
    assert len(asked) > 10 and {name.removesuffix("_bucket") for name in asked} <= names
