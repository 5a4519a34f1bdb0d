"""The numbers in what Evidently's metrics return, and their names. Imported only in the process of a slow detector."""

from __future__ import annotations

import re
from typing import Any

from monitor.evidently_data import Refused
from monitor.evidently_descriptors import score_name

MOST = 1000  # numbers of one metric or preset


def numbered(
    results: list[dict[str, Any]], metric: str, subject: str, taken: set[tuple[str, str]]
) -> dict[tuple[str, str], float]:  # fmt: skip
    """Subject and name -> value, of all the numbers in the results."""
    out: dict[tuple[str, str], float] = {}
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for result in results:
        config = result.get("config", {})
        own = str(config.get("column", subject))
        base = score_name(str(config.get("type", metric)).rsplit(":", 1)[-1])
        if len(results) == 1:
            base = score_name(metric)
        if "label" in config:  # of a group
            base = f"{base}_{_plain(config['label'])}"
        numbers = _numbers(base, _at_k(result["value"], config))
        if any((own, key) in taken or (own, key) in out for key, _ in numbers):
            before = first.get((own, base), {})
            told = next((v for k, v in config.items() if k not in ("type", "tests", "column") and v != before.get(k)), len(out))
            numbers = [(key.replace(base, f"{base}_{_plain(told)}", 1), value) for key, value in numbers]
        first.setdefault((own, base), config)
        out |= {(own, key): value for key, value in numbers}
    if len(out) > MOST:
        raise Refused(f"{metric} gives {len(out)} numbers, more than {MOST}: name metrics of single columns")
    return out


def _at_k(value: Any, config: dict[str, Any]) -> Any:
    """Of a table of metrics at 1, 2, ...: the one at the metric's k, or the last one."""
    if "k" in config and isinstance(value, dict) and {"rank", "value"} == set(value):
        values = list(value["value"].values())
        return values[min(int(config["k"]), len(values)) - 1] if values else {}
    return value


def _numbers(name: str, value: Any) -> list[tuple[str, float]]:
    """The numbers in a metric's value, each with its name."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [(name, float(value))]
    if isinstance(value, dict):
        if isinstance(value.get("y"), dict) and isinstance(value.get("x"), dict):  # a distribution
            value = {f"{x:.4g}" if isinstance(x, float) else x: value["y"][i] for i, x in value["x"].items()}
        if isinstance(value.get("value"), dict) and isinstance(value.get("column_name"), dict):  # a table of columns
            kinds, columns = value.get("kind", {}), value["column_name"]
            value = {
                "_".join(str(part) for part in (kinds.get(i, ""), columns.get(i, i)) if part): v for i, v in value["value"].items()
            }
        return [pair for key, item in value.items() for pair in _numbers(f"{name}_{_plain(key)}", item)]
    return []


def _plain(key: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", str(key).removeprefix("ColumnType."))
