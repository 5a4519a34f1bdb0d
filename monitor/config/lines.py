"""YAML with the line of every key, and nothing that YAML can do beyond plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_NODES = 50_000
Path = tuple[str | int, ...]


class YamlProblem(ValueError):
    """Not the YAML that a config may be. `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass(slots=True)
class Document:
    """Plain data, and the line of each path in it."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """The line of a path or of its nearest parent."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1


def parse(text: str) -> Document:
    """Raises YamlProblem with the line."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlProblem(line, f"not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise YamlProblem(1, f"not valid YAML: {' '.join(str(error).split())[:200]}") from error
    document = Document({})
    if root is not None:
        document.data = _build(root, (), document.lines, [0])
    return document


def _build(node: yaml.Node, path: Path, lines: dict[Path, int], seen: list[int]) -> Any:
    seen[0] += 1
    if seen[0] > MAX_NODES:
        raise YamlProblem(node.start_mark.line + 1, f"more than {MAX_NODES} values; aliases that multiply are not allowed")
    if len(path) > 50:
        raise YamlProblem(node.start_mark.line + 1, "nested more than 50 deep")
    lines.setdefault(path, node.start_mark.line + 1)
    _require_plain(node)
    if isinstance(node, yaml.MappingNode):
        out: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                raise YamlProblem(line, "a key must be a plain word; merge keys are not supported")
            key = key_node.value
            if key in out:
                raise YamlProblem(line, f"{key!r} stands twice in the same mapping; remove one")
            lines[(*path, key)] = line
            out[key] = _build(value_node, (*path, key), lines, seen)
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, i), lines, seen) for i, item in enumerate(node.value)]
    return _scalar(node)


def _require_plain(node: yaml.Node) -> None:
    if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python"):
        raise YamlProblem(node.start_mark.line + 1, f"tag {node.tag!r} is not allowed; write plain data")


def _scalar(node: yaml.Node) -> Any:
    if node.tag == "tag:yaml.org,2002:timestamp":
        return node.value
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    except yaml.YAMLError as error:
        raise YamlProblem(node.start_mark.line + 1, f"{node.value!r} cannot be read: {error}") from error
    except ValueError as error:
        raise YamlProblem(node.start_mark.line + 1, f"{node.value!r} cannot be read: {error}") from error
