"""Expressions of the config: SQLite has the same three answers, and nothing but the language gets through."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.columns import Columns, DictColumn, Schema
from detectors.expression import ExpressionError, fields_of, parse_expression
from detectors.pattern import PatternError, check_pattern, full_match
from detectors.truth import FALSE, TRUE, UNKNOWN

SCHEMA = Schema(("x", "y", "loan amount"), ("c", "d"), numbers=("cost_usd",))
FIELDS = fields_of(SCHEMA, ("channel",))
LETTERS = ["a", "b", "B", "ab", "", "é"]


def columns(x, y, c, d) -> Columns:
    n = len(x)
    floats = {k: np.array([np.nan if v is None else v for v in vs], dtype=float) for k, vs in (("x", x), ("y", y))}
    return Columns(
        rows=n,
        numeric={**floats, "loan amount": np.arange(n, dtype=float)},
        categorical={"c": DictColumn.from_list(list(c)), "d": DictColumn.from_list(list(d))},
        score=np.linspace(0, 1, n) if n else np.empty(0),
        label=DictColumn.from_list(["yes"] * n),
        latency_ms=np.full(n, 5.0),
        error=np.arange(n) % 2 == 0,
        numbers={"cost_usd": np.full(n, 0.5)},
    )


def answers(text: str, rows: Columns, **more) -> list[int]:
    return parse_expression(text, FIELDS).truth(rows, **more).tolist()


number = st.integers(-4, 4).map(float)
texts = st.sampled_from(LETTERS)


def quoted(value: str) -> tuple[str, str]:
    return repr(value), "'" + value.replace("'", "''") + "'"


def _number(draw, depth):
    """A numeric expression, in our language and in SQL."""
    choice = draw(st.integers(0, 5 if depth else 2))
    if choice == 0:
        value = draw(number)
        return f"{value!r}", f"({value!r})"
    if choice in (1, 2):
        name = draw(st.sampled_from(["x", "y"]))
        return name, name
    if choice == 3:
        return tuple(f"abs({name})" for name in [draw(st.sampled_from(["x", "y"]))] * 2)
    left, right, op = _number(draw, depth - 1), _number(draw, depth - 1), draw(st.sampled_from("+-*"))
    return tuple(f"({a} {op} {b})" for a, b in zip(left, right, strict=True))


def _truth(draw, depth):
    kind = draw(st.integers(0, 8 if depth else 4))
    if kind <= 1:
        name, other, op = (
            draw(st.sampled_from(["x", "y"])),
            _number(draw, 2),
            draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="])),
        )
        return tuple(f"{name} {op} {o}" for o in other)
    if kind == 2:
        name, value, op = draw(st.sampled_from(["c", "d"])), quoted(draw(texts)), draw(st.sampled_from(["==", "!=", "<", ">="]))
        return tuple(f"{name} {op} {v}" for v in value)
    if kind == 3:
        name, values = draw(st.sampled_from(["c", "d"])), [quoted(v) for v in draw(st.lists(texts, min_size=1, max_size=3))]
        negated = draw(st.sampled_from(["in", "not in"]))
        return f"{name} {negated} [{', '.join(v[0] for v in values)}]", f"{name} {negated} ({', '.join(v[1] for v in values)})"
    if kind == 4:
        name = draw(st.sampled_from(["x", "c"]))
        return f"is_missing({name})", f"({name} IS NULL)"
    if kind == 5:
        inner = _truth(draw, depth - 1)
        return tuple(f"(not ({i}))" for i in inner)
    if kind == 6:
        return "len(c) > 1 and c != d", "length(c) > 1 AND c != d"
    left, right, op = _truth(draw, depth - 1), _truth(draw, depth - 1), draw(st.sampled_from(["and", "or"]))
    return tuple(f"(({a}) {op} ({b}))" for a, b in zip(left, right, strict=True))


@st.composite
def expressions(draw):
    return _truth(draw, 3)


row = st.tuples(st.none() | number, st.none() | number, st.none() | texts, st.none() | texts)


@settings(max_examples=150, deadline=None)
@given(expressions(), st.lists(row, min_size=1, max_size=20))
def test_the_three_answers_are_those_of_sql(both, rows):
    ours, sql = both
    base = sqlite3.connect(":memory:")
    base.execute("CREATE TABLE t (x REAL, y REAL, c TEXT, d TEXT)")
    base.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    known = [r[0] for r in base.execute(f"SELECT {sql} FROM t ORDER BY rowid")]
    expected = [UNKNOWN if k is None else (TRUE if k else FALSE) for k in known]
    assert answers(ours, columns(*zip(*rows, strict=True))) == expected, (ours, sql)


ROWS = columns([1.0, 20.0, None, np.inf], [0.0, 0.0, 1.0, -1.0], ["a", "ab", None, "B"], ["a", "x@y", "q", "B"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 < x <= 20", [TRUE, TRUE, UNKNOWN, FALSE]),
        ("x / y > 5", [TRUE, TRUE, UNKNOWN, FALSE]),  # 1 / 0 is infinite
        ("y / y == 1", [UNKNOWN, UNKNOWN, TRUE, TRUE]),  # 0 / 0 is missing
        ("log(y) > 1 or error", [TRUE, FALSE, TRUE, UNKNOWN]),
        ("features['loan amount'] >= 2", [FALSE, FALSE, TRUE, TRUE]),
        ("features.x == 1", [TRUE, FALSE, UNKNOWN, FALSE]),
        ("matches(d, '[^@]+@[^@]+')", [FALSE, TRUE, FALSE, FALSE]),
        ("matches(d, 'x|q')", [FALSE, FALSE, TRUE, FALSE]),  # the whole string, not a part
        ("lower(c) == 'b'", [FALSE, FALSE, UNKNOWN, TRUE]),
        ("c == d", [TRUE, FALSE, UNKNOWN, TRUE]),
        ("'a' == c", [TRUE, FALSE, UNKNOWN, FALSE]),
        ("5 > x", [TRUE, FALSE, UNKNOWN, FALSE]),
        ("prediction.label == 'yes' and prediction.score > 0.5", [FALSE, FALSE, TRUE, TRUE]),
        ("latency_ms == 5 and cost_usd < 1 and error == False", [FALSE, TRUE, FALSE, TRUE]),
        ("x in [1, 20] and not is_missing(x)", [TRUE, TRUE, FALSE, FALSE]),
        ("segment.channel == 'web' or version == '2'", [TRUE, TRUE, UNKNOWN, UNKNOWN]),
        ("x % 3 == -2 + 3", [TRUE, FALSE, UNKNOWN, UNKNOWN]),
    ],
)
def test_what_an_expression_means(text, expected):
    segments = {"channel": DictColumn.from_list(["web", None, None, "app"])}
    version = DictColumn.from_list(["1", "2", None, None])
    assert answers(text, ROWS, segments=segments, version=version) == expected


def test_no_rows_and_all_missing():
    assert answers("x > 1 and c == 'a'", columns([], [], [], [])) == []
    assert answers("x > 1 or c == 'a'", columns([None] * 3, [None] * 3, [None] * 3, [None] * 3)) == [UNKNOWN] * 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "must be true or false"),
        ("xx > 1", "did you mean 'x'"),
        ("x <", "column 4"),
        ("__import__('os').system('true')", "no function"),
        ("x.__class__ == 1", "no field 'x.__class__'"),
        ("open('f') == 1", "no function 'open'"),
        ("[y for y in x]", "not allowed"),
        ("(lambda: True)()", "no function"),
        ("x ** 9 > 1", "not allowed"),
        ("x > 'a'", "like with like"),
        ("x is None", "is_missing"),
        ("c < d", "orders numbers"),
        ("1 < 2", "two constants"),
        ("x in []", "needs a list"),
        ("x in [1, 'a']", "one kind"),
        ("matches(c, '(')", "no regular expression"),
        ("matches(c, '(?=a)')", "look-around"),
        ("matches(c, d)", "must be a 'string'"),
        ("len(x) > 1", "must be a text"),
        ("x if error else y", "not allowed"),
        ("x > 1e999", "no value"),
        ("(" * 500 + "x > 1" + ")" * 500, ""),
        ("x > 1" + " or x > 1" * 200, "more than 300 parts"),
        ("x > 1" + " " * 5000, "at most 2000"),
        ("-" * 1500 + "x > 1", ""),
        ("", "write for example"),
        ("x > 1; y > 1", "write for example"),
    ],
)
def test_what_is_no_expression_is_refused_with_place_and_fix(text, words):
    with pytest.raises(ExpressionError, match=None) as caught:
        parse_expression(text, FIELDS)
    assert words in str(caught.value), str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="xyc01. <>=()[]'+-*/%,andornotin", max_size=60))
def test_any_text_is_compiled_or_refused_never_a_crash(text):
    for fields in (FIELDS, None):
        try:
            made = parse_expression(text, fields)
        except ExpressionError:
            continue
        if fields is not None:
            assert set(made.truth(ROWS).tolist()) <= {FALSE, UNKNOWN, TRUE}


def test_without_a_schema_names_are_not_judged_but_the_language_is():
    assert parse_expression("anything > 3 and other == 'x'", None).names == ("anything", "other")
    with pytest.raises(ExpressionError):
        parse_expression("anything ** 3 > 1", None)


def test_a_pattern_that_backtracks_elsewhere_is_linear_and_cannot_escape_its_anchors():
    assert full_match(["a" * 5000 + "!"], "(a+)+").tolist() == [False]
    assert full_match(["xab", "b", "ab"], "a|b").tolist() == [False, True, False]
    with pytest.raises(PatternError):
        check_pattern("a)|(b")
    with pytest.raises(PatternError, match="at most 500"):
        check_pattern("a" * 501)
