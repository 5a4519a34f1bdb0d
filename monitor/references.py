"""`driftd reference`: build a profile of a file, list, show and activate those of the store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.progress import Progress

from detectors.catalogue import PART as ITEMS
from detectors.columns import Columns, DictColumn, Ints, Outcomes, Schema
from detectors.dle import PART as LOSS
from detectors.fits import fit_all
from detectors.kinds import KINDS, derive_reference, raw_schema, schema_columns, unreadable
from detectors.kinds import PART as VOCABULARY
from detectors.performance import PerformanceSummary
from detectors.profile import PREDICTION, Profile
from detectors.scoring import score_performance
from detectors.trace import ERROR_TASKS
from detectors.worst_errors import PART as WORST_ERRORS
from detectors.worst_errors import errors_of_reference
from monitor.config import Config
from monitor.config.model import ModelSettings
from monitor.config.subjects import name_problems
from monitor.item_file import read_items, wanted_columns
from monitor.panes import OTHER
from monitor.parts import parts_of
from monitor.reference_gaps import gaps, is_empty
from monitor.runtime import schema_of
from monitor.segments import derived_segments, with_derived
from monitor.store import StoredReference
from monitor.tabular import Read, Reader, infer_schema, names_of, no_features, read_batches
from monitor.tabular_values import Refusals

MOST_REASONS = 100  # why rows of a file were left out, told apart
LISTED = 100  # features whose kinds are told one by one


def build_reference(
    cfg: Config, store: Any, model: str, path: Path, types: tuple[str, ...], activate: bool, items: Path | None = None
) -> Iterator[str]:
    """Build and save; yields lines for people. items: a file of what the items of ranked lists are like. Raises ValueError."""
    settings = _model(cfg, model)
    catalogue = {} if items is None else {ITEMS: read_items(items, wanted_columns(settings)).to_bytes()}
    kinds, rows, left = _kinds(settings, path, types)
    for _, problem, fix in name_problems(kinds):
        raise ValueError(f"{path}: {problem}. {fix}.")
    for feature, kind in sorted(kinds.items())[:LISTED]:
        origin = "config" if feature in settings.features else "inferred; override with --type"
        yield f"{feature}: {kind} ({origin})"
    if rest := sorted(kinds.items())[LISTED:]:
        many = ", ".join(f"{n:,} {kind}" for kind, n in Counter(kind for _, kind in rest).most_common())
        yield f"and {len(rest):,} more: {many}; `driftd reference show` has all of them"
    for column, of in left.items():
        yield f"{column}: left out, {of} is no feature"
    numeric, categorical, derived = schema_columns(kinds)
    schema = replace(schema_of(settings, None), numeric=numeric, categorical=categorical, kinds=derived, parts=parts_of(settings))
    columns, outcomes, performance, segments, said = _read(path, schema, settings, rows, cfg.limits.segments)
    yield from said
    texts = {}
    if derived:
        columns, vocabulary = derive_reference(columns, schema)
        for feature, wrong in unreadable(columns, derived).items():
            yield f"{feature}: {wrong} of {columns.rows} values are no times, and count as missing"
        texts = {VOCABULARY: vocabulary.to_bytes()} if vocabulary.bits else {}
    taken = {r.name for r in store.references(model)}
    name = next(f"{path.stem}-{n}" for n in range(1, len(taken) + 2) if f"{path.stem}-{n}" not in taken)
    profile = Profile.build(columns, schema, name).with_segments(
        columns, _rows_of(segments), settings.reference.segments, settings.reference.segment_rows
    )
    if is_empty(replace(profile, performance=performance), columns):
        listed = ", ".join(sorted(names_of(path))[:40])
        fix = "name the columns that have them in the config's `columns`, or give another file"
        raise ValueError(f"{path}: no row has a value of a feature or a prediction: {fix}; the file has {listed}")
    yield from gaps(profile, kinds)
    profile = replace(profile, performance=performance, extras=fit_all(columns, outcomes, schema) | texts | catalogue)
    if outcomes is not None and WORST_ERRORS in schema.parts and settings.task in ERROR_TASKS:
        errors = errors_of_reference(profile, columns, outcomes, schema)
        profile = replace(profile, extras=profile.extras | {WORST_ERRORS: errors.to_bytes()})
    blob = profile.to_bytes()
    now_ms = time.time_ns() // 1_000_000
    store.save_reference(StoredReference(model, name, profile.rows, now_ms, False, blob))
    state = _from(store.activate_reference(model, name, now_ms)) if activate else "not active"
    labelled = f", {performance[''].rows} with labels" if performance else ""
    known = f", {len(profile.segments)} segments" if profile.segments else ""
    yield f"saved {name}: {profile.rows} rows{labelled}, {len(kinds)} features{known}, {len(blob)} bytes, {state}"
    if settings.task == "regression" and settings.estimate.enabled and performance and LOSS not in profile.extras:
        why = "the model keeps no sample of rows; write sample: {rows: 1000}"
        if settings.sample is not None:
            why = "LightGBM is not installed; pip install 'driftd[estimate]'"
        yield f"performance before labels is not estimated: {why}, and build the reference anew"
    if not catalogue and (named := wanted_columns(settings)):
        yield f"metrics that look at {', '.join(named)} of items have no value: build with --items FILE, of columns item_id, {', '.join(named)}"


def _model(cfg: Config, model: str) -> ModelSettings:
    found = {m.name: m for m in cfg.models}
    if model not in found:
        raise ValueError(f"--model {model}: the config has {', '.join(found)}")
    return found[model]


def _kinds(settings: ModelSettings, path: Path, types: tuple[str, ...]) -> tuple[dict[str, str], int, dict[str, pa.DataType]]:
    """The kinds of the features, the number of rows, and what was left out where features are inferred."""
    known = {"event_id", "ts", "model", "version", "label", "label_ts", "latency_ms", "status", "score"}
    known |= {c for f, c in settings.columns.items() if not f.startswith("features.")}
    dimensions = [*settings.segment_keys, *([settings.request_key] if settings.request_key is not None else [])]
    known |= {*dimensions, *(f"segment_{s}" for s in dimensions), *(f"segment.{s}" for s in dimensions)}
    known |= {*settings.numbers, "embedding", "probabilities", "quantiles", "labels", "items", "item_scores"}
    known |= {f"{prefix}{c}" for prefix in ("proba_", "probability_", "probabilities.") for c in settings.classes}
    known |= {f"{prefix}{q:g}" for prefix in ("quantile_", "quantiles.") for q in settings.quantiles}
    inferred, rows = infer_schema(path, settings.columns, known)
    kinds: dict[str, str] = dict(settings.features) if settings.features else inferred
    for override in types:
        feature, _, kind = override.partition("=")
        if kind not in KINDS:
            raise ValueError(f"--type {override}: write FEATURE=KIND, a kind of {', '.join(KINDS)}")
        if feature not in kinds:
            raise ValueError(f"--type {override}: there is no feature {feature!r}; known: {', '.join(sorted(kinds))}")
        kinds[feature] = kind
    return kinds, rows, {} if settings.features else no_features(path, known)


def _read(
    path: Path, schema: Schema, settings: ModelSettings, rows: int, segment_limit: int
) -> tuple[Columns, Outcomes | None, dict[str, PerformanceSummary], dict[str, DictColumn], list[str]]:
    """The rows, the labels beside them, the performance on those that have one (of all, and of each segment), the segments, and
    what is to be said of rows that were left out."""
    lenient = settings.non_finite == "missing"
    reader = Reader(
        path, names_of(path), raw_schema(schema), settings.segment_keys, settings.columns, events=False, lenient=lenient
    )
    if reader.missing:
        raise ValueError(f"{path}: no column for {', '.join(reader.missing)}; name it in the model's `columns`")
    derived = derived_segments(settings, schema)
    parts, labels, dimensions = [], [], []
    unusable, unlabelled = Counter[str](), Counter[str]()
    found: dict[str, PerformanceSummary] = {}
    with Progress(transient=True) as bar:
        task = bar.add_task("reading", total=rows)
        for batch in read_batches(path, reader.wanted)[0]:
            bar.advance(task, batch.num_rows)
            batch, (columns, version, of_rows) = _usable(reader, batch, unusable)
            if schema.kinds and reader.fixed["ts"] is not None:
                columns = replace(columns, ts_ms=reader.times(batch, {}))
            parts.append(columns)
            segments = with_derived(derived, columns, of_rows, version)
            dimensions.append(segments)
            if reader.label is not None and schema.task != "none":
                refused: Refusals = {}
                labels.append(reader.outcomes(batch, columns, refused))
                _tell(unlabelled, refused)
                _count(found, schema, labels[-1], segments, segment_limit)
    if not sum(part.rows for part in parts):
        why = _listed(unusable) or "the file has none"
        raise ValueError(f"{path}: no row can be used: {why}. Correct the file, the config's `features`, or override with --type")
    said = [f"left out, as events like them are refused: {_listed(unusable)}"] if unusable else []
    said += [f"taken as unlabelled: {_listed(unlabelled)}"] if unlabelled else []
    joined = {name: DictColumn.concat([part[name] for part in dimensions]) for name in dimensions[0]} if dimensions else {}
    labelled = found[""].rows if "" in found else 0
    if not labelled:
        return Columns.concat(parts), None, {}, joined, said
    return (
        Columns.concat(parts),
        Outcomes.concat(labels),
        {name: summary for name, summary in found.items() if summary.rows},
        joined,
        said,
    )


def _usable(reader: Reader, batch: pa.RecordBatch, unusable: Counter[str]) -> tuple[pa.RecordBatch, Read]:
    """The rows whose like the stream would take, and what they hold; the others are counted by what is wrong with them."""
    refused: Refusals = {}
    read = reader.read(batch, refused)
    if not refused:
        return batch, read
    _tell(unusable, refused)
    keep = np.ones(batch.num_rows, dtype=np.bool_)
    keep[list(refused)] = False
    batch = batch.filter(pa.array(keep))
    return batch, reader.read(batch, {})


def _tell(counts: Counter[str], refused: Refusals) -> None:
    for _, why in sorted(refused.items()):
        detail = str(why)
        counts[detail if detail in counts or len(counts) < MOST_REASONS else "other reasons"] += 1


def _listed(counts: Counter[str]) -> str:
    return "; ".join(f"{detail} ({count} rows)" for detail, count in counts.most_common(5))


def _rows_of(dimensions: dict[str, DictColumn]) -> dict[str, Ints]:
    """The rows of each segment `dimension=value`, in order."""
    out: dict[str, Ints] = {}
    for dimension, column in dimensions.items():
        order = np.argsort(column.codes, kind="stable")
        bounds = np.searchsorted(column.codes[order], np.arange(len(column.values) + 1))
        out |= {f"{dimension}={value}": order[bounds[i] : bounds[i + 1]] for i, value in enumerate(column.values) if value}
    return out


def _count(
    found: dict[str, PerformanceSummary], schema: Schema, outcomes: Outcomes, segments: dict[str, DictColumn], limit: int
) -> None:
    """Add outcomes to all rows' performance and to that of their segments, at most `limit` a dimension."""
    found.setdefault("", PerformanceSummary.empty(schema)).add(outcomes)
    for dimension, column in segments.items():
        for code in np.unique(column.codes[column.codes >= 0]).tolist():
            name = f"{dimension}={column.values[code]}"
            if name not in found and sum(known.startswith(f"{dimension}=") for known in found) >= limit:
                name = f"{dimension}={OTHER}"
            rows = np.flatnonzero(column.codes == code)
            found.setdefault(name, PerformanceSummary.empty(schema)).add(outcomes.take(rows))


def list_references(cfg: Config, store: Any, model: str | None) -> Iterator[str]:
    if model is not None:
        _model(cfg, model)
    found = store.references(model)
    if not found:
        yield "no references; `driftd reference build --model M --from FILE` makes one"
    for r in found:
        at = datetime.fromtimestamp(r.created_ms / 1000.0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        yield f"{r.model}  {r.name}  {'active' if r.active else '-'}  {r.rows} rows  {len(r.blob)} bytes  {at}"


def show_reference(store: Any, model: str, name: str) -> Iterator[str]:
    """Raises ValueError if there is none of that name."""
    profile = Profile.from_bytes(_stored(store, model, name).blob)
    yield f"{model} {profile.name}: {profile.rows} rows"
    if "" in profile.performance:
        for score in score_performance(profile.performance[""]):
            yield f"  {score.subject} {score.name}: {score.value:.6g} ({score.rows} rows)"
    for feature in (*profile.schema.numeric, PREDICTION):
        g = profile.numeric[feature]
        m = g.moments
        if m.n:
            yield (
                f"  {feature}: numeric, {m.n} values, {g.missing} missing, mean {m.mean:.6g}, std {m.std:.6g}, "
                f"min {m.low:.6g}, max {m.high:.6g}"
            )
    for feature in profile.schema.categorical:
        c = profile.categorical[feature]
        top = sorted(c.counts.items(), key=lambda item: (-item[1], item[0]))[:8]
        shares = ", ".join(f"{value} {rows / max(1, profile.rows):.3f}" for value, rows in top)
        yield f"  {feature}: category, {len(c.counts)} values, {c.missing} missing: {shares}"


def activate_reference(store: Any, model: str, name: str, all_time: bool = False) -> str:
    """Raises ValueError if there is none of that name."""
    _stored(store, model, name)
    return f"{model}: {name} is {_from(store.activate_reference(model, name, time.time_ns() // 1_000_000, all_time))}"


def _from(from_ms: int) -> str:
    if not from_ms:
        return "active for all panes that are begun from now on, whatever their time"
    at = datetime.fromtimestamp(from_ms / 1000.0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"active for panes that begin from {at} on; running daemons switch then, without a restart"


def _stored(store: Any, model: str, name: str) -> StoredReference:
    found = {r.name: r for r in store.references(model)}
    if name not in found:
        raise ValueError(f"model {model!r} has no reference {name!r}; it has {', '.join(found) or 'none'}")
    stored: StoredReference = found[name]
    return stored
