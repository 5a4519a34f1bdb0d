"""A file of JSON lines whose values are not of one type a column: batches of lines that go together, each with its own types.

Whoever reads a batch finds numbers where it has numbers and texts where it has texts, and refuses a value as the event's decoder would.
A line that is no JSON object, and one that has an object or an array where most have none (or the other way about), is told (monitor/torn_rows.py).
The file is read twice: once to count of which type most values of each column are, once for its rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from monitor.decode.settings import DecodeSettings
from monitor.decode.strict import parse
from monitor.decode.values import Refused
from monitor.decode.values import kind as json_kind
from monitor.tabular_values import Refusals
from monitor.torn_rows import check_most, with_refused

ROWS = 20_000  # of a batch at most
OBJECT = "object"
TYPES: dict[str, pa.DataType] = {
    "number": pa.float64(), "whole number": pa.int64(), "string": pa.string(), "boolean": pa.bool_(),
    "array of numbers": pa.list_(pa.float64()), "array": pa.list_(pa.string()),
}  # fmt: skip
SETTINGS = DecodeSettings()  # of lines: as long and as deep as messages may be by default
_INT64 = 1 << 63
_KINDS: dict[type, str] = {str: "string", float: "number", bool: "boolean", dict: OBJECT}
Row = dict[str, Any]


class JsonRows:
    """Rows of one file. Raises FileProblem where half of its lines, or more, are no rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        kinds: dict[str, Counter[str]] = {}
        self.rows = 0
        bad: dict[int, Refused] = {}
        for self.rows, row in enumerate(_lines(path), start=1):
            if isinstance(row, Refused):
                bad[self.rows - 1] = row
                continue
            for key, value in _flat(row, {}, objects=True).items():
                if value is not None:
                    if (counts := kinds.get(key)) is None:
                        counts = kinds[key] = Counter()
                    counts[_kind(value)] += 1
        if bad:
            check_most(path, len(bad), self.rows, min(bad), str(bad[min(bad)]))
        self._shaped = any(len({*map(_shape, counts)}) > 1 for counts in kinds.values())
        most = {key: _most(counts) for key, counts in kinds.items()}
        apart = tuple(
            f"{key}." for key, kind in most.items() if kind != OBJECT and kinds[key][OBJECT]
        )  # what is in them is refused
        self._most = {key: kind for key, kind in most.items() if not key.startswith(apart)}

    @property
    def schema(self) -> pa.Schema:
        """By what most rows hold."""
        return pa.schema([(key, TYPES[kind]) for key, kind in self._most.items() if kind != OBJECT])

    def batches(self, alike: bool = False) -> Iterator[pa.RecordBatch]:
        """All rows in order. alike: only those whose values are of the types of most."""
        rows, kinds, refused = list[Row](), dict[str, str](), Refusals()
        for found in _lines(self._path):
            why = found if isinstance(found, Refused) else self._contradiction(found)
            row = {} if isinstance(found, Refused) or why else _flat(found, {})
            mine = {key: self._kind_here(key, value) for key, value in row.items() if value is not None and key in self._most}
            if alike and (why or any(kind != self._most[key] for key, kind in mine.items())):
                continue
            if len(rows) >= ROWS or any(kinds.get(key, kind) != kind for key, kind in mine.items()):
                yield self._batch(rows, kinds, refused)
                rows, kinds, refused = [], {}, {}
            if why:
                refused[len(rows)] = why
            rows.append(row)
            kinds |= mine
        if rows:
            yield self._batch(rows, kinds, refused)

    def _batch(self, rows: list[Row], kinds: dict[str, str], refused: Refusals) -> pa.RecordBatch:
        fields = [pa.field(f.name, TYPES[kinds.get(f.name, self._most[f.name])]) for f in self.schema]
        columns = [_column([row.get(f.name) for row in rows], f.type) for f in fields]
        return with_refused(pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields)), refused)

    def _kind_here(self, key: str, value: Any) -> str:
        """A value's kind, as that of most where it is one of these as well."""
        kind, most = _kind(value), self._most[key]
        fits = (kind == "whole number" and most == "number") or (value == [] and most.startswith("array"))
        return most if fits else kind

    def _contradiction(self, row: Row) -> Refused | None:
        for key, value in _flat(row, {}, objects=True).items() if self._shaped else ():
            if value is not None and key in self._most and _shape(_kind(value)) != _shape(self._most[key]):
                most = self._most[key].removeprefix("whole ")
                return Refused("wrong_type", f"{key} is {json_kind(value)}, must be {most} as in most rows")
        return None


def _lines(path: Path) -> Iterator[Row | Refused]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                try:
                    found = parse(line.strip(), SETTINGS)
                except Refused as why:
                    yield why
                    continue
                yield found if isinstance(found, dict) else Refused("undecodable", f"is {json_kind(found)}, must be an object")


def _flat(row: Row, out: Row, prefix: str = "", objects: bool = False) -> Row:
    """Objects within as `outer.inner`. objects: they themselves too."""
    for key, value in row.items():
        if isinstance(value, dict):
            if objects:
                out[prefix + key] = value
            _flat(value, out, f"{prefix}{key}.", objects)
        else:
            out[prefix + key] = value
    return out


def _kind(value: Any) -> str:
    if (known := _KINDS.get(type(value))) is not None:
        return known
    if isinstance(value, list):
        return "array of numbers" if all(isinstance(v, int | float) and not isinstance(v, bool) for v in value) else "array"
    return "whole number" if -_INT64 <= value < _INT64 else "number"


def _shape(kind: str) -> str:
    return kind if kind == OBJECT else "array" if kind.startswith("array") else ""


def _most(counts: Counter[str]) -> str:
    """The kind that most have; all numbers are one kind, and whole only where none is not."""
    numbers = counts["number"] + counts["whole number"]
    if counts["number"]:
        del counts["whole number"]
        counts["number"] = numbers
    return max(sorted(counts), key=lambda kind: counts[kind])


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_float64(kind):
        values = [None if v is None else _number(v) for v in values]
    elif pa.types.is_list(kind):
        texts = pa.types.is_string(kind.value_type)
        values = [None if v is None else [_text(e) if texts else _number(e) for e in v] for v in values]
    return pa.array(values, kind)


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf if value > 0 else -math.inf


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
