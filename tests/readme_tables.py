"""The tables of README.md and docs/scores.md, made from the registries: `python -m tests.readme_tables` writes them."""

from __future__ import annotations

from pathlib import Path

from alerts.retraining.adapters import ADAPTERS
from detectors.registry import STATISTICS, defaults
from detectors.score_names import FAMILIES

ROOT = Path(__file__).resolve().parents[1]
WORSE = {"above": "higher", "below": "lower", "": "-"}


def family_table() -> str:
    """One row a family: what the scores are of, and their names."""
    lines = ["| subject | scores |", "|---|---|"]
    return "\n".join([*lines, *(f"| {subject} | {', '.join(family)} |" for subject, family in FAMILIES.items())])


def score_table() -> str:
    """One row a score."""
    lines = ["| subject | score | what it is | unit | worse |", "|---|---|---|---|---|"]
    for subject, family in FAMILIES.items():
        lines += [f"| {subject} | `{name}` | {doc.text} | {doc.unit} | {WORSE[doc.worse]} |" for name, doc in family.items()]
    return "\n".join(lines)


def statistic_table() -> str:
    """One row a statistic of drift."""
    lines = ["| statistic | for | formula | p-value | error from cells | default | source |", "|---|---|---|---|---|---|---|"]
    for name, s in STATISTICS.items():
        on = ", ".join(kind for kind in s.kinds if name in defaults(kind))
        kinds, p_value, formula = ", ".join(s.kinds), f"`{name}_p`" if s.p_value else "", s.formula.replace("|", "\\|")
        unit = f" [{s.unit}]" if s.unit else ""
        lines.append(f"| `{name}` {s.text}{unit} | {kinds} | {formula} | {p_value} | {s.error_text} | {on} | {s.source} |")
    return "\n".join(lines)


def adapter_table() -> str:
    """One row a retrain adapter: its options, those that must be there first and bold, secrets by their environment form."""
    lines = ["| adapter | options | a repeat is known by | its end is seen |", "|---|---|---|---|"]
    for name, kind in ADAPTERS.items():
        ordered = sorted(kind.options, key=lambda option: option not in kind.required)
        shown = [(o, f"`{o}_env`" if o in kind.secrets else f"`{o}`") for o in ordered]
        options = ", ".join(f"**{text}**" if o in kind.required else text for o, text in shown)
        lines.append(f"| `{name}` | {options} | {kind.once} | {kind.polled} |")
    return "\n".join(lines)


TABLES = {
    "README.md": {"scores": family_table, "statistics": statistic_table, "adapters": adapter_table},
    "docs/scores.md": {"scores": score_table},
}


def filled(text: str, file: str) -> str:
    """The file's text with every table made anew. Raises ValueError where a marker is missing."""
    for name, make in TABLES[file].items():
        begin, end = f"<!-- {name}: made by `make docs` -->\n", f"\n<!-- {name}: end -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{file} lacks the markers {begin!r} and {end!r}")
        text = before + begin + make() + end + after
    return text


if __name__ == "__main__":
    for file in TABLES:
        path = ROOT / file
        path.write_text(filled(path.read_text(), file))
