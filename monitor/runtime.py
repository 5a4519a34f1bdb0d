"""From the config to live parts: models, decoders, rules. Configuration and state are different types."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from detectors.choice import Choice
from detectors.columns import Schema
from detectors.fairness import FOUR_FIFTHS
from detectors.kinds import raw_schema, schema_columns
from detectors.limits import Limit
from detectors.profile import Profile
from detectors.worst import PART as WORST
from detectors.worst_errors import PART as WORST_ERRORS
from monitor.calibrations import calibration_of
from monitor.concept_entry import ROSE
from monitor.config import Config, config_hash
from monitor.config.model import ModelSettings
from monitor.custom import Custom, load_function
from monitor.decode import DECODERS
from monitor.decode.settings import DecodeSettings, ModelSchema
from monitor.engine import Engine
from monitor.events import Decoder
from monitor.evidently_descriptors import score_name
from monitor.label_scores import DEFAULT_LIMITS as LABEL_LIMITS
from monitor.model import Model, VersionComparison
from monitor.parts import concept_detectors, parts_of
from monitor.policies import policy_of
from monitor.quality import DEFAULT_LIMITS
from monitor.segments import Fairness, derived_segments
from monitor.waiting_cells import has_cells, marks_of

CLASSES = 100  # a reference with more makes no columns of probabilities


def build_models(cfg: Config, store: Any, labels_come: bool = True) -> dict[str, Model]:
    """The models of the config with the references that the store holds for them.

    labels_come: whether anything brings labels; where nothing does, no prediction waits for one.
    """
    return {m.name: replace(build_model(cfg, m, store, labels_come), wants_labels=labels_come) for m in cfg.models}


def build_model(cfg: Config, settings: ModelSettings, store: Any, labels_come: bool = True) -> Model:
    profiles: dict[str, Profile] = {}
    active, activations = "", []
    for stored in store.references(settings.name):
        profiles[stored.name] = Profile.from_bytes(stored.blob)
        if stored.active:
            active = stored.name
        if stored.active_from_ms >= 0:
            activations.append((stored.active_from_ms, stored.name))
    schema = schema_of(settings, profiles.get(active))
    schema = replace(schema, category_limit=cfg.limits.categories, parts=parts_of(settings))
    if not labels_come and settings.worst_segments is None:
        for name in (WORST, WORST_ERRORS):
            schema.parts.pop(name, None)
    if has_cells(schema):
        schema.parts[WORST_ERRORS]["marks"] = marks_of(schema, list(profiles.values()))
    return Model(
        name=settings.name,
        schema=schema,
        size_ms=settings.window.size_ms,
        slide_ms=settings.window.slide_ms,
        lateness_ms=settings.window.allowed_lateness_ms,
        horizon_ms=settings.dedup.horizon_ms,
        max_ids=settings.dedup.max_ids,
        dedup=settings.dedup.enabled,
        label_wait_ms=settings.labels.wait_ms,
        segment_limit=cfg.limits.segments,
        derived=derived_segments(settings, schema),
        resources=tuple(r.name for r in settings.resources),
        budget_usd_per_day=None if settings.cost is None else settings.cost.budget_usd_per_day,
        fairness=Fairness(
            tuple(dict.fromkeys(settings.fairness.protected)), settings.fairness.favourable or settings.positive_label or ""
        ),
        min_rows=settings.min_rows,
        min_coverage=settings.labels.min_coverage,
        worth={(p, t): money for p, row in settings.performance.value.items() for t, money in row.items()},
        custom=tuple(Custom(c.name, load_function(c.function), bool(c.interval)) for c in settings.performance.custom),
        estimate=settings.estimate.enabled,
        concept=concept_detectors(settings),
        request_key=settings.request_key,
        slow=slow_names(settings),
        concept_rows=settings.concept.rows,
        compare=compared_versions(settings),
        first_windows=settings.reference.first_windows,
        thresholds=_limits(settings),
        calibration=calibration_of(cfg, settings),
        statistics=choice_of(settings),
        policy=policy_of(cfg, settings, labels_come),
        formulas=settings.profile,
        formula_scores=tuple(dict.fromkeys(settings.profile_scores)),
        active_profile=active,
        activations=tuple(sorted(activations)),
        profiles=profiles,
        config_hash=config_hash(cfg, settings.name),
    )


def compared_versions(settings: ModelSettings) -> tuple[VersionComparison, ...]:
    return tuple(
        VersionComparison(
            c.champion,
            c.challenger,
            c.metric,
            c.mode == "shadow",
            c.values or settings.performance.value,
            c.alpha,
            c.min_effect,
            c.pair_by is not None,
        )
        for c in settings.compare
    )


def slow_names(settings: ModelSettings) -> tuple[tuple[str, str], ...]:
    """The first score of each slow detector that the config names."""
    found = [(str(m.options.get("column", "evidently")), score_name(m.metric)) for m in settings.evidently]
    if settings.multivariate is not None and settings.multivariate.domain_classifier:
        found.append(("multivariate", "domain_auc"))
    return tuple(dict.fromkeys(found))


def _limits(settings: ModelSettings) -> dict[str, Limit]:
    """The config's limits, and, where it says nothing, that a firing of a stream detector counts, and the four-fifths rule where
    there are fixed limits only."""
    out = {name: Limit(warn=limit.warn, breach=limit.breach, below=limit.below) for name, limit in settings.thresholds.items()}
    out = {**DEFAULT_LIMITS, **LABEL_LIMITS, **out}
    if settings.compare:
        out = {"promote": Limit(warn=1.0), "roll_back": Limit(breach=1.0), **out}
    for detector in concept_detectors(settings):
        out.setdefault(detector, Limit(breach=1.0))
        out.setdefault(ROSE, Limit(breach=1.0))
    if settings.fairness.protected and settings.false_alarms_per_week == 0:
        out.setdefault("disparate_impact", Limit(breach=FOUR_FIFTHS, below=True))
    return out


def choice_of(settings: ModelSettings) -> Choice:
    """The statistics that the config names; none where it leaves the choice to the program."""
    chosen = settings.statistics
    default = () if chosen.default == "auto" else tuple(chosen.default)
    return Choice(default, {feature: tuple(names) for feature, names in chosen.features.items()})


def schema_of(settings: ModelSettings, profile: Profile | None) -> Schema:
    """The schema that the config declares; where it declares no feature or class, the reference's."""
    if not settings.features and profile is not None:
        numeric, categorical, kinds = profile.schema.numeric, profile.schema.categorical, profile.schema.kinds
    else:
        numeric, categorical, kinds = schema_columns({str(f): str(kind) for f, kind in settings.features.items()})
    classes = tuple(settings.classes)
    if not classes and profile is not None and settings.task == "multiclass":
        classes = tuple(sorted(profile.label.counts))
        classes = classes if 2 <= len(classes) <= CLASSES else ()
    quantiles = tuple(sorted(settings.quantiles))
    vectors = {"probabilities": len(classes)} if classes and settings.task in ("multiclass", "multilabel") else {}
    if settings.task == "multilabel":
        vectors["labels"] = len(classes)
    if settings.task == "quantile":
        vectors["quantiles"] = len(quantiles)
    if settings.embedding is not None:
        vectors["embedding"] = settings.embedding.dim
    return Schema(
        numeric,
        categorical,
        settings.task,
        settings.positive_label,
        numbers=tuple(sorted(set(settings.numbers))),
        vectors=vectors,
        classes=classes,
        quantiles=quantiles,
        top_k=settings.top_k,
        kinds=kinds,
    )


def decode_settings(cfg: Config, models: dict[str, Model]) -> DecodeSettings:
    masks = any(m.sample is not None and m.sample.mask for m in cfg.models)  # a message may hold events of any of them
    return DecodeSettings(
        message_bytes=cfg.limits.message_bytes,
        nesting_depth=cfg.limits.nesting_depth,
        future_ms=cfg.limits.future_ms,
        excerpt_bytes=0 if masks else cfg.limits.excerpt_bytes,
        models={
            m.name: ModelSchema(
                raw_schema(models[m.name].schema),
                m.segment_keys if m.request_key is None else (*m.segment_keys, m.request_key),
                m.non_finite == "missing",
            )
            for m in cfg.models
        },
    )


def build_engine(cfg: Config, models: dict[str, Model], extra_sources: tuple[str, ...] = ()) -> Engine:
    """An engine with one decoder a source; extra_sources (a demo, a replay) speak the native format."""
    settings = decode_settings(cfg, models)
    decoders: dict[str, Decoder] = {s.name: DECODERS[getattr(s, "format", "native")](settings) for s in cfg.sources}
    for name in extra_sources:
        decoders.setdefault(name, DECODERS["native"](settings))
    return Engine(models, decoders)
