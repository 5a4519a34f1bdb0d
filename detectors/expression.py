"""A small safe language over the columns of an event: what a segment holds, what a rule demands of every row.

    age < 25 and region in ['MA', 'NY']        18 <= age < 65         repaid <= loan_amount * 1.1
    not is_missing(email) and matches(email, '[^@]+@[^@]+')           abs(log(income)) > 3 or error

Python's own grammar, cut down to comparisons, arithmetic, and / or / not, and the functions in FUNCTIONS. There is
nothing to call, index or loop beyond that, so that an expression of a config can do no harm and ends in time linear
in the rows. Three answers (detectors/truth.py): what rests on a missing value is unknown, unless the rest decides.
x / 0 is infinite, 0 / 0 and the logarithm of a negative number are missing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, cast

import numpy as np

from detectors import truth
from detectors.columns import Columns, DictColumn, Schema
from detectors.pattern import PatternError, check_pattern, full_match
from detectors.truth import Truth

TEXT_CHARS, NODES = 2000, 300
FUNCTIONS = ("abs", "is_missing", "len", "log", "lower", "matches")
NUMBER, TEXT, TRUTH, ANY = "number", "text", "true or false", "any"
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.Mod: np.mod,
}  # fmt: skip
_SIGNS: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class ExpressionError(ValueError):
    """An expression that cannot be used. The text names place, what stands there and what is allowed."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What an expression is asked of."""

    columns: Columns
    segments: Mapping[str, DictColumn]
    version: DictColumn | None


@dataclass(frozen=True, slots=True)
class _Node:
    """A compiled piece: its kind, how to compute it, and its value where that is the same for every row."""

    kind: str
    run: Callable[[Rows], Any]
    constant: Any = None


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression that is true, false or unknown for each row. names: the fields it reads."""

    text: str
    names: tuple[str, ...]
    run: Callable[[Rows], Truth]

    def truth(self, columns: Columns, segments: Mapping[str, DictColumn] | None = None, version: DictColumn | None = None) -> Truth:
        """The answer for each row, shape (columns.rows,); see detectors/truth.py."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return self.run(Rows(columns, segments or {}, version))


def fields_of(schema: Schema, segments: tuple[str, ...] | None = None) -> dict[str, str]:
    """The fields that an expression may read, and their kinds. segments: None where only columns are at hand."""
    out = {"prediction.score": NUMBER, "prediction.value": NUMBER, "prediction.label": TEXT, "latency_ms": NUMBER, "error": TRUTH}
    out |= dict.fromkeys(schema.numbers, NUMBER)
    if segments is not None:
        out |= {"version": TEXT, **{f"segment.{name}": TEXT for name in segments}}
    for names, kind in ((schema.numeric, NUMBER), (schema.categorical, TEXT), (tuple(schema.kinds), TEXT)):
        for name in names:
            out[f"features.{name}"] = kind
            out[name] = kind  # a feature hides an event field of the same name
    return out


def parse_expression(text: str, fields: Mapping[str, str] | None) -> Expression:
    """Check and compile. fields: name -> kind (fields_of), None where the schema is not known yet: then names and
    kinds are not checked, and the result must not be run. Raises ExpressionError."""
    return _parse(text, None if fields is None else tuple(sorted(fields.items())))


@lru_cache(maxsize=2048)
def _parse(text: str, fields: tuple[tuple[str, str], ...] | None) -> Expression:
    if len(text) > TEXT_CHARS:
        raise ExpressionError(f"the expression has {len(text)} characters; at most {TEXT_CHARS} are allowed")
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(
            f"column {error.offset or len(text) + 1}: {error.msg}; write for example: age < 25 and region == 'MA'"
        ) from None
    except (RecursionError, MemoryError, ValueError) as error:
        raise ExpressionError(f"cannot be read ({error or type(error).__name__}); write it with fewer brackets") from None
    if sum(1 for _ in ast.walk(body)) > NODES:
        raise ExpressionError(f"the expression has more than {NODES} parts; split it into several")
    compiler = _Compiler(None if fields is None else dict(fields))
    node = compiler.wanted(body, TRUTH)
    return Expression(text, tuple(sorted(compiler.names)), node.run)


class _Compiler:
    """Turns the whitelisted part of Python's syntax tree into closures over columns, kinds checked."""

    def __init__(self, fields: dict[str, str] | None) -> None:
        self._fields = fields
        self.names: set[str] = set()

    def compile(self, node: ast.expr) -> _Node:
        made = _MAKERS.get(type(node))
        if made is None:
            raise _refused(node, f"{ast.unparse(node)[:60]!r} is not allowed", "use comparisons, + - * / %, and, or, not, in")
        return made(self, node)

    def wanted(self, node: ast.expr, kind: str) -> _Node:
        """The node, which must be of a kind."""
        made = self.compile(node)
        if made.kind not in (kind, ANY):
            fix = "compare it with something, as in `x > 0`" if kind == TRUTH else f"write {_article(kind)}"
            raise _refused(node, f"{ast.unparse(node)[:60]!r} is {_article(made.kind)}, must be {_article(kind)}", fix)
        return made

    def constant(self, node: ast.Constant) -> _Node:
        value = node.value
        if isinstance(value, bool):
            answer = np.int8(truth.TRUE if value else truth.FALSE)
            return _Node(TRUTH, lambda rows: np.full(rows.columns.rows, answer), value)
        if isinstance(value, int | float) and abs(value) <= 1e300:
            number = float(value)
            return _Node(NUMBER, lambda rows: number, number)
        if isinstance(value, str):
            return _Node(TEXT, lambda rows: value, value)
        raise _refused(
            node, f"{value!r} is no value here", "write a number, a 'string', True or False; is_missing(x) asks for null"
        )

    def field(self, node: ast.expr) -> _Node:
        name = _path(node)
        if self._fields is None:
            self.names.add(name)
            return _Node(ANY, _no_schema)
        kind = self._fields.get(name)
        if kind is None:
            close = get_close_matches(name, self._fields, n=1)
            listed = ", ".join(sorted(n for n in self._fields if not n.startswith("features."))[:40])
            raise _refused(
                node, f"there is no field {name!r}", (f"did you mean {close[0]!r}? " if close else "") + f"known: {listed}"
            )
        self.names.add(name)
        return _Node(kind, _reader(name, kind, f"features.{name}" in self._fields))

    def logic(self, node: ast.BoolOp) -> _Node:
        parts = [self.wanted(value, TRUTH).run for value in node.values]
        join = np.minimum if isinstance(node.op, ast.And) else np.maximum
        return _Node(TRUTH, lambda rows: join.reduce([part(rows) for part in parts]))

    def unary(self, node: ast.UnaryOp) -> _Node:
        if isinstance(node.op, ast.Not):
            inner = self.wanted(node.operand, TRUTH).run
            return _Node(TRUTH, lambda rows: np.int8(truth.TRUE) - inner(rows))
        if isinstance(node.op, ast.USub):
            number = self.wanted(node.operand, NUMBER)
            if number.constant is not None:
                value = -number.constant
                return _Node(NUMBER, lambda rows: value, value)
            return _Node(NUMBER, lambda rows: -number.run(rows))
        raise _refused(node, f"{ast.unparse(node)[:60]!r} is not allowed", "use not or -")

    def arithmetic(self, node: ast.BinOp) -> _Node:
        apply = _ARITHMETIC.get(type(node.op))
        if apply is None:
            raise _refused(node, f"the operator in {ast.unparse(node)[:60]!r} is not allowed", "use + - * / %")
        left, right = self.wanted(node.left, NUMBER), self.wanted(node.right, NUMBER)
        if left.constant is not None and right.constant is not None:
            with np.errstate(all="ignore"):
                value = float(apply(left.constant, right.constant))
            return _Node(NUMBER, lambda rows: value, value)
        return _Node(NUMBER, lambda rows: apply(left.run(rows), right.run(rows)))

    def compare(self, node: ast.Compare) -> _Node:
        terms = [node.left, *node.comparators]
        links = [self._link(node, op, terms[i], terms[i + 1]) for i, op in enumerate(node.ops)]
        return links[0] if len(links) == 1 else _Node(TRUTH, lambda rows: np.minimum.reduce([link.run(rows) for link in links]))

    def _link(self, node: ast.Compare, op: ast.cmpop, before: ast.expr, after: ast.expr) -> _Node:
        if isinstance(op, ast.In | ast.NotIn):
            found = self._member(node, before, after)
            return found if isinstance(op, ast.In) else _Node(TRUTH, lambda rows: np.int8(truth.TRUE) - found.run(rows))
        sign = _SIGNS.get(type(op))
        if sign is None:
            raise _refused(node, "`is` is not allowed", "use ==, or is_missing(x) for null")
        left, right = self.compile(before), self.compile(after)
        if ANY in (left.kind, right.kind):
            return _Node(TRUTH, _no_schema)
        if left.kind != right.kind:
            what = f"{ast.unparse(before)[:40]!r} is {_article(left.kind)}, {ast.unparse(after)[:40]!r} {_article(right.kind)}"
            raise _refused(node, what, "compare like with like")
        if left.constant is not None:
            left, right, sign = right, left, _TURNED[sign]
        if left.constant is not None:
            raise _refused(node, "two constants are compared", "compare a field")
        if left.kind == NUMBER:
            return _Node(TRUTH, lambda rows: truth.numbers(sign, left.run(rows), right.run(rows)))
        if sign not in ("==", "!=") and (left.kind == TRUTH or right.constant is None):
            raise _refused(node, f"{sign} orders numbers, and strings against a constant", "use == or !=")
        if left.kind == TEXT:
            return _Node(TRUTH, lambda rows: truth.texts(sign, left.run(rows), right.run(rows)))
        return _Node(TRUTH, lambda rows: _same(left.run(rows), right.run(rows), sign == "=="))

    def _member(self, node: ast.Compare, before: ast.expr, after: ast.expr) -> _Node:
        if not isinstance(after, ast.List | ast.Tuple | ast.Set) or not after.elts:
            raise _refused(node, "`in` needs a list", "write x in ['a', 'b']")
        items = [self.compile(item) for item in after.elts]
        kinds = {item.kind for item in items}
        if any(item.constant is None for item in items) or len(kinds) != 1 or kinds == {TRUTH}:
            raise _refused(node, "the list must hold constants of one kind", "write x in ['a', 'b'] or x in [1, 2]")
        column = self.wanted(before, kinds.pop())
        if column.constant is not None:
            raise _refused(node, "two constants are compared", "compare a field")
        allowed = [item.constant for item in items]
        if items[0].kind == NUMBER:
            return _Node(TRUTH, lambda rows: truth.number_in(column.run(rows), allowed))
        chosen = frozenset(allowed)
        return _Node(TRUTH, lambda rows: _among(column.run(rows), chosen))

    def call(self, node: ast.Call) -> _Node:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)[:40]
        if name not in FUNCTIONS:
            raise _refused(node, f"there is no function {name!r}", f"allowed: {', '.join(FUNCTIONS)}")
        needed = 2 if name == "matches" else 1
        if node.keywords or len(node.args) != needed or any(isinstance(a, ast.Starred) for a in node.args):
            raise _refused(node, f"{name} takes {needed} argument{'s' if needed > 1 else ''}", f"write {_USAGE[name]}")
        inner = self.compile(node.args[0]) if name == "is_missing" else self.wanted(node.args[0], _TAKES[name])
        if inner.constant is not None:
            raise _refused(node, f"{name} of a constant is a constant", "give it a field")
        run = inner.run
        if name == "matches":
            pattern = self._pattern(node.args[1])
            return _Node(TRUTH, lambda rows: _matching(run(rows), pattern))
        return _Node(_GIVES[name], lambda rows: _APPLY[name](run(rows)))

    def _pattern(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            raise _refused(node, "the pattern must be a 'string'", f"write {_USAGE['matches']}")
        try:
            return check_pattern(node.value)
        except PatternError as error:
            raise _refused(node, str(error), "the whole string must match") from None


_USAGE = {
    "abs": "abs(x)", "log": "log(x)", "len": "len(text)", "lower": "lower(text)", "is_missing": "is_missing(x)",
    "matches": "matches(text, '[A-Z]+')",
}  # fmt: skip
_TAKES = {"abs": NUMBER, "log": NUMBER, "len": TEXT, "lower": TEXT, "matches": TEXT}
_GIVES = {"abs": NUMBER, "log": NUMBER, "len": NUMBER, "lower": TEXT, "is_missing": TRUTH}
_APPLY: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs, "log": np.log, "len": truth.lengths, "lower": lambda c: truth.mapped(c, str.lower), "is_missing": truth.missing,
}  # fmt: skip
_MAKERS: dict[type[ast.expr], Callable[[_Compiler, Any], _Node]] = {
    ast.BoolOp: _Compiler.logic, ast.UnaryOp: _Compiler.unary, ast.BinOp: _Compiler.arithmetic, ast.Compare: _Compiler.compare,
    ast.Call: _Compiler.call, ast.Constant: _Compiler.constant, ast.Name: _Compiler.field, ast.Attribute: _Compiler.field,
    ast.Subscript: _Compiler.field,
}  # fmt: skip


def _refused(node: ast.expr, message: str, fix: str) -> ExpressionError:
    return ExpressionError(f"column {node.col_offset + 1}: {message}; {fix}")


def _article(kind: str) -> str:
    return kind if kind == TRUTH else f"a {kind}"


def _path(node: ast.expr) -> str:
    """x, x.y, x['y'] as a dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_path(node.value)}.{node.attr}"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        return f"{_path(node.value)}.{node.slice.value}"
    raise _refused(node, f"{ast.unparse(node)[:60]!r} names no field", "write x, segment.x or features['x y']")


def _reader(name: str, kind: str, is_feature: bool) -> Callable[[Rows], Any]:
    """How to get a field of the rows."""
    head, _, rest = name.partition(".")
    if head == "features" or is_feature:
        feature = rest if head == "features" else name
        if kind == NUMBER:
            return lambda rows: rows.columns.numeric[feature]
        return lambda rows: rows.columns.raw.get(feature) or rows.columns.categorical[feature]
    if head == "segment":
        return lambda rows: rows.segments.get(rest) or DictColumn.missing(rows.columns.rows)
    known: dict[str, Callable[[Rows], Any]] = {
        "prediction.score": lambda rows: rows.columns.score,
        "prediction.value": lambda rows: rows.columns.score,
        "prediction.label": lambda rows: rows.columns.label,
        "latency_ms": lambda rows: rows.columns.latency_ms,
        "error": lambda rows: np.where(rows.columns.error, np.int8(truth.TRUE), np.int8(truth.FALSE)),
        "version": lambda rows: rows.version or DictColumn.missing(rows.columns.rows),
    }

    def number(rows: Rows) -> Any:
        found = rows.columns.numbers.get(name)
        return np.full(rows.columns.rows, np.nan) if found is None else found

    return known.get(name, number)


def _no_schema(rows: Rows) -> Any:
    raise AssertionError("an expression that was parsed without a schema is not run")


def _among(column: DictColumn, allowed: frozenset[str]) -> Truth:
    return truth.by_value(column, [v in allowed for v in column.values])


def _matching(column: DictColumn, pattern: str) -> Truth:
    return truth.by_value(column, full_match(column.values, pattern))


def _same(left: Truth, right: Truth, equal: bool) -> Truth:
    out = np.where((left == right) == equal, np.int8(truth.TRUE), np.int8(truth.FALSE))
    out[(left == truth.UNKNOWN) | (right == truth.UNKNOWN)] = truth.UNKNOWN
    return cast(Truth, out)
