"""Features that are neither plain numbers nor plain categories, as bounded columns of both.

    boolean    a category of "true" and "false", however it was written
    datetime   NAME.age_days (event's time less the value), NAME.hour (UTC), NAME.weekday
    text       NAME.length, NAME.words, NAME.non_letters (share of the characters), NAME.oov: share of the words that the
               reference's texts do not have, by a hash (see Vocabulary)

They come as strings under their own name (raw_schema) and are derived before they are counted. What cannot be read as a
time is missing, and counted (`unreadable`). The strings themselves are handed on in Columns.raw, for expressions, and are kept by no summary but a sample
of rows whose options name them.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from detectors.columns import Columns, DictColumn, Floats, Schema

KINDS = ("numeric", "category", "boolean", "datetime", "text")
PART = "vocabulary"  # the name of the reference's frame
TEXT_NUMBERS = ("length", "words", "non_letters", "oov")
TIME_NUMBERS = ("age_days",)
TIME_CATEGORIES = ("hour", "weekday")
DAY_MS = 86_400_000.0
BITS = 1 << 20  # 20,000 distinct words fill 2 % of them: such a share of new words is taken for known
_WORD = re.compile(r"\w+")
_TRUE, _FALSE = {"true", "1", "1.0", "t", "yes", "y", "on"}, {"false", "0", "0.0", "f", "no", "n", "off"}
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def derived_names(kinds: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The numeric and the categorical columns that features of these kinds become."""
    numeric = [f"{f}.{d}" for f, kind in kinds.items() if kind == "text" for d in TEXT_NUMBERS]
    numeric += [f"{f}.{d}" for f, kind in kinds.items() if kind == "datetime" for d in TIME_NUMBERS]
    categorical = [f for f, kind in kinds.items() if kind == "boolean"]
    categorical += [f"{f}.{d}" for f, kind in kinds.items() if kind == "datetime" for d in TIME_CATEGORIES]
    return tuple(numeric), tuple(categorical)


def silent_columns(kinds: dict[str, str], vocabulary: Vocabulary | None) -> frozenset[str]:
    """The columns of which nothing is known: new words, without the words of a reference."""
    known = {} if vocabulary is None else vocabulary.bits
    return frozenset(f"{f}.oov" for f, kind in kinds.items() if kind == "text" and f not in known)


def schema_columns(features: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """Of features and their kinds: numeric and categorical columns as they are counted, and the kinds that are derived."""
    kinds = {f: kind for f, kind in sorted(features.items()) if kind in ("boolean", "datetime", "text")}
    numeric, categorical = derived_names(kinds)
    plain = [f for f, kind in features.items() if kind == "numeric"], [f for f, kind in features.items() if kind == "category"]
    return tuple(sorted([*plain[0], *numeric])), tuple(sorted([*plain[1], *categorical])), kinds


def raw_schema(schema: Schema) -> Schema:
    """The columns as events and files have them: derived ones give way to the strings that they are made of."""
    if not schema.kinds:
        return schema
    numeric, categorical = derived_names(schema.kinds)
    plain = tuple(f for f in schema.categorical if f not in categorical)
    return replace(
        schema,
        numeric=tuple(f for f in schema.numeric if f not in numeric),
        categorical=tuple(sorted({*plain, *schema.kinds})),
    )


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A bit for the hash of each word of the reference's texts, by feature: 128 kB each. Unknown words look known by chance
    as often as bits are set."""

    bits: dict[str, npt.NDArray[np.uint8]]

    @staticmethod
    def build(texts: dict[str, DictColumn], kinds: dict[str, str]) -> Vocabulary:
        """Of the strings of each text feature."""
        bits = {}
        for feature in (f for f, kind in kinds.items() if kind == "text"):
            words = {w for text in _used(texts[feature])[0] for w in _words(text)}
            held = np.zeros(BITS, dtype=np.bool_)
            held[[_place(w) for w in words]] = True
            bits[feature] = np.packbits(held)
        return Vocabulary(bits)

    def new_shares(self, feature: str, texts: list[list[str]]) -> list[float]:
        """Of the words of each text; NaN without words, or for a feature that the reference does not have."""
        bits = self.bits.get(feature)
        if bits is None:
            return [float("nan")] * len(texts)
        held, words = bits.tobytes(), {w for text in texts for w in text}
        new = {w: 1 - (held[_place(w) >> 3] >> (7 - (_place(w) & 7)) & 1) for w in words}
        return [sum(map(new.__getitem__, text)) / len(text) if text else float("nan") for text in texts]

    def to_bytes(self) -> bytes:
        names = "\n".join(self.bits).encode()
        return len(names).to_bytes(4, "little") + names + b"".join(b.tobytes() for b in self.bits.values())

    @staticmethod
    def from_bytes(data: bytes) -> Vocabulary:
        """Raises ValueError where the length does not fit."""
        size = int.from_bytes(data[:4], "little")
        names = data[4 : 4 + size].decode().split("\n") if size else []
        if len(data) != 4 + size + len(names) * BITS // 8:
            raise ValueError(f"a vocabulary of {len(names)} features cannot have {len(data)} bytes")
        rows = np.frombuffer(data, dtype=np.uint8, offset=4 + size).reshape(len(names), -1)
        return Vocabulary(dict(zip(names, rows, strict=True)))


def derive(columns: Columns, schema: Schema, vocabulary: Vocabulary | None) -> Columns:
    """Raw columns become those that are counted. vocabulary: the reference's, None without one (then .oov is missing)."""
    numeric, categorical, raw = dict(columns.numeric), dict(columns.categorical), {}
    for feature, kind in schema.kinds.items():
        column = categorical.pop(feature)
        raw[feature] = column
        if kind == "boolean":
            categorical[feature] = _booleans(column)
        elif kind == "datetime":
            ms, labels = _times(column)
            then = np.full(columns.rows, np.nan) if columns.ts_ms is None else columns.ts_ms.astype(np.float64)
            numeric[f"{feature}.age_days"] = (then - ms) / DAY_MS
            categorical |= {f"{feature}.{d}": c for d, c in labels.items()}
        else:
            numeric |= _texts(feature, column, vocabulary)
    return replace(columns, numeric=numeric, categorical=categorical, raw=raw)


def unreadable(columns: Columns, kinds: dict[str, str]) -> dict[str, int]:
    """Of derived columns: the values of each datetime feature that are no times, where there are any. They count as missing."""
    found = {}
    for feature in (f for f, kind in kinds.items() if kind == "datetime" and f in columns.raw):
        read = columns.categorical[f"{feature}.{TIME_CATEGORIES[0]}"].codes >= 0
        found[feature] = int(((columns.raw[feature].codes >= 0) & ~read).sum())
    return {feature: rows for feature, rows in found.items() if rows}


def derive_reference(columns: Columns, schema: Schema) -> tuple[Columns, Vocabulary]:
    """The reference's own columns, and the vocabulary that windows are held against.

    A text whose words are in the vocabulary has no new ones, so each half of the rows is held against the other half's
    words, and windows against the first half's: then .oov means the same on both sides.
    """
    halves = [np.arange(columns.rows) % 2 == parity for parity in (0, 1)]
    words = []
    for half in halves:
        texts = {f: columns.categorical[f].take(half) for f, kind in schema.kinds.items() if kind == "text"}
        words.append(Vocabulary.build(texts, schema.kinds))
    out = derive(columns, schema, words[0])
    other = derive(columns, schema, words[1])
    for feature, kind in schema.kinds.items():
        if kind == "text":
            name = f"{feature}.oov"
            out.numeric[name] = np.where(halves[0], other.numeric[name], out.numeric[name])
    return out, words[0]


def _used(column: DictColumn) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The strings that the rows hold, and which of them each row has; the place after the last one is missing."""
    present, index = np.unique(column.codes, return_inverse=True)
    index = index.astype(np.int64)
    if len(present) and present[0] < 0:
        index = np.where(index == 0, len(present) - 1, index - 1)
        present = present[1:]
    return [column.values[c] for c in present.tolist()], index


def _spread(values: list[float], index: npt.NDArray[np.int64]) -> Floats:
    return np.array([*values, np.nan])[index]


def _booleans(column: DictColumn) -> DictColumn:
    names = [_boolean(v) for v in column.values]
    table = {name: i for i, name in enumerate(dict.fromkeys(names))}
    lookup = np.array([*(table[n] for n in names), -1], dtype=np.int32)
    return DictColumn(lookup[column.codes], list(table))


def _boolean(value: str) -> str:
    plain = value.strip().lower()
    return "true" if plain in _TRUE else "false" if plain in _FALSE else value


def _times(column: DictColumn) -> tuple[Floats, dict[str, DictColumn]]:
    values, index = _used(column)
    times = [_time_ms(v) for v in values]
    at = [None if t is None else datetime.fromtimestamp(t / 1000.0, UTC) for t in times]
    codes = {
        "hour": ([-1 if t is None else t.hour for t in at], [f"{h:02d}" for h in range(24)]),
        "weekday": ([-1 if t is None else t.weekday() for t in at], list(_WEEKDAYS)),
    }
    labels = {d: DictColumn(np.array([*found, -1], dtype=np.int32)[index], names) for d, (found, names) in codes.items()}
    return _spread([np.nan if t is None else t for t in times], index), labels


def _time_ms(value: str) -> float | None:
    """ISO 8601 (UTC where it names no zone) or milliseconds since 1970; None for what is neither, or lies beyond year 9998."""
    try:
        ms = float(value) if value.lstrip("-").replace(".", "", 1).isdigit() else _iso_ms(value)
    except (ValueError, OverflowError):
        return None
    return ms if -62_000_000_000_000 < ms < 253_000_000_000_000 else None


def _iso_ms(value: str) -> float:
    at = datetime.fromisoformat(value)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000.0


def _texts(feature: str, column: DictColumn, vocabulary: Vocabulary | None) -> dict[str, Floats]:
    values, index = _used(column)
    words = [_words(text) for text in values]
    found = {
        "length": [float(len(text)) for text in values],
        "words": [float(len(some)) for some in words],
        "non_letters": [1.0 - sum(map(str.isalpha, text)) / len(text) if text else float("nan") for text in values],
        "oov": [float("nan")] * len(values) if vocabulary is None else vocabulary.new_shares(feature, words),
    }
    return {f"{feature}.{name}": _spread(column, index) for name, column in found.items()}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _place(word: str) -> int:
    return zlib.crc32(word.encode()) & (BITS - 1)
