"""What a model's config says of Evidently's metrics and descriptors: that they have what they look at. Works on raw data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectors.kinds import derived_names, schema_columns
from detectors.sample import ROWS
from monitor.config.lines import Path
from monitor.config.suggest import nearest
from monitor.evidently_descriptors import DESCRIPTORS, REFUSED_DESCRIPTORS, alias_of, columns_read
from monitor.evidently_names import OF_USERS, sampled_columns, vectors_of

SAMPLED_NUMBERS = 4_000_000  # of the embeddings of one sample of rows: 16 MB a pane and version
Found = Iterator[tuple[Path, str, str]]  # path, what is wrong, what to do


def evidently_problems(model: dict[str, Any], path: Path) -> Found:
    """Of a model's `evidently` and `evidently_descriptors`, which may be broken elsewhere."""
    yield from _embeddings(model, path)
    yield from _users(model, path)
    yield from _columns(model, path)
    yield from _descriptors(model, path)


def _embeddings(model: dict[str, Any], path: Path) -> Found:
    """Metrics that look at embeddings: the model must have one, and its sample hold it."""
    declared, sample = model.get("embedding"), model.get("sample")
    dim = declared.get("dim") if isinstance(declared, dict) else None
    rows = sample.get("rows", ROWS) if isinstance(sample, dict) else None
    for i, entry in enumerate(_list(model.get("evidently"))):
        metric, options = (entry.get("metric"), entry.get("options", {})) if isinstance(entry, dict) else (None, {})
        if isinstance(metric, str) and isinstance(options, dict) and "embedding" in vectors_of(metric, options):
            if declared is None:
                yield (*path, "evidently", i), f"{metric} is of embeddings, and the model has none", "write embedding: {dim: N}"
            elif isinstance(sample, dict) and "embedding" in _list(sample.get("mask")):
                fix = "take 'embedding' out of sample.mask, or the metric out of evidently"
                yield (
                    (*path, "evidently", i),
                    f"{metric} is of embeddings, and 'embedding' is in sample.mask, so no row keeps one",
                    fix,
                )
            elif isinstance(dim, int) and isinstance(rows, int) and rows * dim > SAMPLED_NUMBERS:
                fix = f"write sample: {{rows: {max(10, SAMPLED_NUMBERS // dim)}}}"
                yield (*path, "sample", "rows"), f"{rows} embeddings of {dim} numbers are more than {SAMPLED_NUMBERS} numbers", fix


def _columns(model: dict[str, Any], path: Path) -> Found:
    """The columns that metrics name are in the sample: of features where the config has them, and never what is made of a masked one."""
    features, found = model.get("features"), model.get("sample")
    kinds = {str(f): k for f, k in features.items() if isinstance(k, str)} if isinstance(features, dict) else {}
    sample = found if isinstance(found, dict) else {}
    masked = {str(name) for name in _list(sample.get("mask"))}
    made_of = {column: f for f, kind in kinds.items() for names in derived_names({f: kind}) for column in names}
    made_of |= {"score": "prediction"}
    described = [
        e for e in _list(model.get("evidently_descriptors")) if isinstance(e, dict) and isinstance(e.get("descriptor"), str)
    ]
    aliases = [alias_of(e["descriptor"], e["options"] if isinstance(e.get("options"), dict) else {}) for e in described]
    known = {*schema_columns(kinds)[0], *schema_columns(kinds)[1], "prediction", "score", "latency_ms", *aliases}
    known |= {str(name) for name in [*_list(model.get("numbers")), *_list(sample.get("texts"))]}
    for i, entry in enumerate(_list(model.get("evidently"))):
        metric, options = (entry.get("metric"), entry.get("options", {})) if isinstance(entry, dict) else (None, {})
        if not isinstance(metric, str) or not isinstance(options, dict):
            continue
        at: Path = (*path, "evidently", i, "options")
        for column in sampled_columns(metric, options):
            if column in masked or made_of.get(column) in masked:
                feature = column if column in masked else made_of[column]
                made = "" if column == feature else f"is made of {feature!r}, which "
                fix = f"take {feature!r} out of sample.mask, or name another column in options"
                yield at, f"{metric} looks at {column!r}, which {made}is in sample.mask, so no row keeps it", fix
            elif kinds and column not in known:
                kept = {name for name in known - masked if made_of.get(name) not in masked}
                yield at, f"{metric} looks at {column!r}, and no sampled row has such a column", nearest(column, kept)


def _users(model: dict[str, Any], path: Path) -> Found:
    """Metrics of ranked lists that must know whose a list is: by a feature that the sample keeps."""
    features, sample = model.get("features"), model.get("sample")
    mask = _list(sample.get("mask")) if isinstance(sample, dict) else []
    for i, entry in enumerate(_list(model.get("evidently"))):
        if not isinstance(entry, dict) or not isinstance(entry.get("metric"), str):
            continue
        at: Path = (*path, "evidently", i)
        user = entry.get("user")
        if user is None and entry["metric"] in OF_USERS:
            yield at, f"{entry['metric']} must know whose list it is", "write user: FEATURE beside the metric"
        elif user is not None and isinstance(features, dict) and features and user not in features:
            yield (*at, "user"), f"there is no feature {user!r}", nearest(str(user), features)
        elif user is not None and user in mask:
            yield (*at, "user"), f"{user!r} is in sample.mask, so no row keeps it", "take it out of one of them"


def _descriptors(model: dict[str, Any], path: Path) -> Found:
    """Of texts: they run without a network, read what the sample keeps, and have names of their own."""
    wanted = _list(model.get("evidently_descriptors"))
    if wanted and not model.get("evidently"):
        yield (*path, "evidently_descriptors"), "no metric reads them", "write evidently: [{metric: TextEvals}]"
    features = model.get("features")
    kinds = {f: k for f, k in features.items() if isinstance(k, str)} if isinstance(features, dict) else {}
    taken = {*kinds, *(name for names in derived_names(kinds) for name in names), "prediction", "score", "latency_ms"}
    for i, entry in enumerate(wanted):
        name, options = (entry.get("descriptor"), entry.get("options", {})) if isinstance(entry, dict) else (None, {})
        if not isinstance(name, str) or not isinstance(options, dict):
            continue
        at: Path = (*path, "evidently_descriptors", i)
        if name in REFUSED_DESCRIPTORS:
            why, fix = REFUSED_DESCRIPTORS[name]
            yield (*at, "descriptor"), f"{name} {why}", fix
        elif name not in DESCRIPTORS:
            yield (*at, "descriptor"), f"Evidently has no descriptor {name!r}", nearest(name, DESCRIPTORS)
        else:
            if "tests" in options:
                yield (
                    (*at, "options", "tests"),
                    "a score is judged by the daemon",
                    "write thresholds: {evidently_...: {breach: ...}}",
                )
            alias = alias_of(name, options)
            if alias in taken:
                yield at, f"there is a column {alias!r} already", "give this one options: {alias: NAME}"
            taken.add(alias)
            yield from _read(name, columns_read(options), kinds, model, at)


def _read(name: str, columns: list[str], kinds: dict[str, str], model: dict[str, Any], at: Path) -> Found:
    """The columns that a descriptor reads are in the sample."""
    found = model.get("sample")
    sample = found if isinstance(found, dict) else {}
    if not columns:
        yield (*at, "options"), f"{name} reads no column", "write options: {column_name: FEATURE}; a few take columns: [ONE, OTHER]"
    strings = [f for f, kind in kinds.items() if kind in ("text", "category", "boolean")]
    for column in columns if kinds else ():
        if column in _list(sample.get("mask")):
            yield (*at, "options"), f"{column!r} is in sample.mask, so no row keeps it", "take it out of one of them"
        elif kinds.get(column) == "text" and column not in _list(sample.get("texts")):
            keeps = {"rows": sample.get("rows", ROWS), "texts": [*_list(sample.get("texts")), column]}
            fix = f"write sample: {{rows: {keeps['rows']}, texts: [{', '.join(map(str, keeps['texts']))}]}}"
            yield (*at, "options"), f"{name} reads the texts of {column!r}, and the sample of rows keeps none of them", fix
        elif column not in strings and column != "prediction":
            yield (*at, "options"), f"there is no feature {column!r} of kind text or category", nearest(column, strings)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
