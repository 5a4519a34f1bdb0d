"""The shape of config.yaml. Every field has a default but those that nobody can guess."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from sqlalchemy import URL, make_url

from detectors.losses import LOSSES
from monitor.config.alert_rules import FlappingSettings, InhibitSettings, RouteSettings, RuleSettings, ScheduleSettings
from monitor.config.calibration import CalibrationSettings
from monitor.config.compare import OF_ANY_TASK, PAIRED, needs_labels
from monitor.config.digests import DigestSettings
from monitor.config.secret import read_secret, resolve
from monitor.config.section import Name, Section
from monitor.config.units import Duration, Size
from monitor.config.watched import (
    CheckSettings,
    CostSettings,
    FairnessSettings,
    OutlierSettings,
    QualitySettings,
    ResourceSettings,
    SegmentSettings,
    WorstSegmentSettings,
)
from monitor.decode.settings import NUMBER_FIELDS


class RetentionSettings(Section):
    panes_ms: Duration = Field(7 * 86_400_000, alias="panes")
    windows_ms: Duration = Field(90 * 86_400_000, alias="windows")
    dead_letters_ms: Duration = Field(14 * 86_400_000, alias="dead_letters")


class StoreSettings(Section):
    url: str = "sqlite:///driftd-data/driftd.db"
    password_env: str | None = None
    password_file: str | None = None
    retention: RetentionSettings = RetentionSettings.model_validate({})

    def sqlalchemy_url(self) -> URL:
        """The address with its password. Raises SecretMissing."""
        url = make_url(self.url)
        password = read_secret(self.password_env, self.password_file)
        return url if password is None else url.set(password=password)


DAEMON = "driftd"  # the model's name of alerts about the daemon itself; no model may have it
DAEMONS_RULE = "source-unreachable"  # monitor/blindness.py


class SourceSettings(Section):
    name: Name
    type: Literal["kafka", "http", "file"]
    carries: Literal["events", "labels", "both"] = "events"
    unreachable_after_ms: Duration = Field(300_000, alias="unreachable_after", ge=0)  # 0: never told
    format: Literal["native", "kserve"] = "native"
    # kafka
    topics: list[str] = []
    bootstrap_servers: str = ""
    group: str = "driftd"
    client: Literal["confluent", "kafka-python"] = "confluent"
    start: Literal["earliest", "latest"] = "earliest"
    dead_letter_topic: str | None = None
    options: dict[str, Any] = {}
    # file
    path: Path | None = None
    follow: bool = True

    def client_options(self) -> dict[str, Any]:
        """Options for the Kafka client, secrets read. Raises SecretMissing."""
        return resolve(self.options)


class TokenSettings(Section):
    name: Name
    scopes: list[Literal["read", "ingest", "act", "admin"]] = Field(["read"], min_length=1)
    token_env: str | None = None
    token_file: str | None = None

    def value(self) -> str:
        """The bearer token. Raises SecretMissing."""
        return read_secret(self.token_env, self.token_file) or ""


class HttpSettings(Section):
    listen: str = Field("127.0.0.1:8321", pattern=r"^[^:\s]*:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$")
    token_env: str | None = None
    token_file: str | None = None
    tokens: list[TokenSettings] = []
    allow_actions: bool = False  # without tokens: acknowledging, silencing and approving by anyone who can connect
    hosts: list[str] = []  # names that requests may be addressed to, besides loopback
    queue_rows: int = Field(50_000, ge=1)
    body_bytes: Size = 1_000_000
    public_url: str | None = Field(None, pattern=r"^https?://[^\s]+$")  # where people reach listen: for links in messages

    def token_values(self) -> list[tuple[str, list[str], str]]:
        """Name, scopes and bearer token of each; the single one may do everything. Raises SecretMissing."""
        single = read_secret(self.token_env, self.token_file)
        first = [] if single is None else [("http.token", ["admin"], single)]
        return first + [(t.name, list(t.scopes), t.value()) for t in self.tokens]


class WindowSettings(Section):
    size_ms: Duration = Field(60_000, alias="size", ge=1)
    slide_ms: Duration = Field(0, alias="slide")
    allowed_lateness_ms: Duration = Field(10_000, alias="allowed_lateness", ge=0)

    @model_validator(mode="before")
    @classmethod
    def _slide_is_size(cls, data: Any) -> Any:
        if isinstance(data, dict) and "slide" not in data and "slide_ms" not in data:
            return {**data, "slide": data.get("size", "1m")}
        return data


class ReferenceSettings(Section):
    """segments: of how many segments a built reference keeps the rows' counts, each of at least segment_rows rows."""

    first_windows: int = Field(5, ge=1, le=1000)
    segments: int = Field(50, ge=0, le=1000)
    segment_rows: int = Field(500, ge=30)


PROFILE_ROWS = 5000  # rows of each window that a formula profile keeps, unless `sample` says otherwise


class SampleSettings(Section):
    rows: int = Field(1000, ge=10, le=100_000)
    mask: list[str] = []
    keep_ms: Duration = Field(86_400_000, alias="keep", ge=60_000)
    texts: Annotated[list[str], Field(max_length=20)] = []  # features of kind text whose texts are kept
    text_chars: int = Field(500, ge=10, le=20_000)  # of each


class CorrelationSettings(Section):
    pairs: list[tuple[str, str]] = []
    strong: float = Field(0.6, ge=0.0, le=1.0)
    limit: int = Field(50, ge=1, le=1000)


class MultivariateSettings(Section):
    pca: bool = True
    mahalanobis: bool = False
    mmd: list[str] = []
    correlation: CorrelationSettings | None = None
    domain_classifier: bool = False


class EvidentlySettings(Section):
    """One of Evidently's metrics (evidently.metrics), with its arguments."""

    metric: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]{0,99}$")]
    options: dict[str, Any] = {}
    user: str | None = None  # the feature that says whose list a ranked one is; each request's own, where it is not written


class DescriptorSettings(Section):
    """One of Evidently's descriptors of texts (evidently.descriptors), with its arguments."""

    descriptor: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]{0,99}$")]
    options: dict[str, Any] = {}


class SlowSettings(Section):
    """Of detectors that run off the data loop, each in a process of its own."""

    every_ms: Duration = Field(60_000, alias="every", ge=100)
    timeout_ms: Duration = Field(120_000, alias="timeout", ge=100)
    memory: Size = 2_000_000_000
    windows: int = Field(20, ge=1, le=1000)


class EstimateSettings(Section):
    enabled: bool = True
    calibration_error: float = Field(0.05, ge=0.0, le=1.0)


class ConceptSettings(Section):
    """detectors: names with their options; a list of names has the defaults. None: the default ones, {}: none."""

    detectors: dict[str, dict[str, float]] | None = None
    rows: int = Field(2000, ge=100, le=1_000_000)
    cells: int = Field(1000, ge=10, le=100_000)

    @model_validator(mode="before")
    @classmethod
    def _names(cls, data: Any) -> Any:
        """`[adwin, ddm]` is `{adwin: {}, ddm: {}}`."""
        if isinstance(data, dict) and isinstance(data.get("detectors"), list):
            return {**data, "detectors": {name: {} for name in data["detectors"]}}
        return data


class CompareSettings(Section):
    """Two versions of a model. mode: shadow where both get every request, canary where each gets its own.

    pair_by: the key of the event's `segment` that holds the request's id; without it, rows of the same ts are pairs.
    pairs: requests of which a pane keeps the metric for it, of each version. metric: see monitor/config/compare.py.
    """

    champion: str = Field(min_length=1)
    challenger: str = Field(min_length=1)
    metric: Name = "error"
    mode: Literal["canary", "shadow"] = "canary"
    values: dict[str, dict[str, float]] = {}
    alpha: float = Field(0.05, gt=0.0, lt=0.5)
    min_effect: float = 0.0
    pair_by: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    pairs: int = Field(5000, ge=100, le=100_000)

    @model_validator(mode="after")
    def _fits(self) -> CompareSettings:
        if self.pair_by is not None and self.mode != "shadow":
            raise ValueError("pair_by goes with mode: shadow, where both versions get every request")
        if self.champion == self.challenger:
            raise ValueError("champion and challenger must be two versions")
        if self.values and self.metric != "value":
            raise ValueError("values (predicted label: {true label: worth}) go with metric: value")
        of_rows = (
            self.metric in PAIRED if self.pair_by is None else self.metric in (*PAIRED, *LOSSES) or not needs_labels(self.metric)
        )
        if self.mode == "shadow" and not of_rows:
            more = f"{', '.join((*LOSSES, *OF_ANY_TASK))} and the model's `numbers`"
            raise ValueError(
                f"mode: shadow compares metric {' and '.join(PAIRED)} pair by pair, and with pair_by {more}; write "
                f"{'pair_by or ' if self.pair_by is None else ''}mode: canary for others"
            )
        return self


class LabelSettings(Section):
    wait_ms: Duration = Field(7 * 86_400_000, alias="wait")
    max_pending: int = Field(5_000_000, ge=1)
    min_coverage: float = Field(0.0, ge=0.0, le=1.0)  # performance is unsure until so many rows have their label
    by_input: bool = True  # predictions that wait keep the cells of at most eight features


class CustomSettings(Section):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]  # package.module:function
    # by 40 calls on counts that are drawn anew, where the function returns a number alone; rows: on outcomes that are kept for it
    interval: bool | Literal["rows"] = True


class PerformanceSettings(Section):
    """value: predicted label -> true label -> money of an event, negative where it costs."""

    value: dict[str, dict[str, float]] = {}
    custom: Annotated[list[CustomSettings], Field(max_length=50)] = []


class DedupSettings(Section):
    enabled: bool = True
    horizon_ms: Duration = Field(600_000, alias="horizon", ge=0)
    max_ids: int = Field(500_000, ge=1000)


class LimitSettings(Section):
    warn: float | None = None
    breach: float | None = None
    below: bool = False

    @model_validator(mode="before")
    @classmethod
    def _unfold_below(cls, data: Any) -> Any:
        """`{below: {warn: 0.9}}` is `{warn: 0.9}` that fires below."""
        if isinstance(data, dict) and isinstance(data.get("below"), dict):
            if set(data) != {"below"}:
                raise ValueError("give either limits that fire above, or `below:` with limits that fire below")
            return {**data["below"], "below": True}
        return data

    @model_validator(mode="after")
    def _in_order(self) -> LimitSettings:
        if self.warn is None and self.breach is None:
            raise ValueError("give warn, breach, or both")
        if self.warn is not None and self.breach is not None:
            if (self.breach < self.warn) if not self.below else (self.breach > self.warn):
                worse = "below" if self.below else "above"
                raise ValueError(f"breach ({self.breach:g}) must lie {worse} warn ({self.warn:g}) or equal it")
        return self


class EmbeddingSettings(Section):
    dim: int = Field(ge=1, le=4096)


Class = Annotated[str, Field(min_length=1, max_length=1000)]
Level = Annotated[float, Field(gt=0.0, lt=1.0)]


class StatisticsSettings(Section):
    default: Literal["auto"] | list[str] = "auto"
    features: dict[str, list[str]] = {}


class ModelSettings(Section):
    name: Name
    task: Literal["binary", "multiclass", "multilabel", "regression", "ranking", "quantile", "none"] = "none"
    positive_label: str | None = None
    classes: list[Class] = Field([], max_length=100)  # of prediction.probabilities and prediction.labels
    quantiles: list[Level] = Field([], max_length=99)  # of prediction.quantiles
    top_k: int = Field(5, ge=1, le=100)  # the k of metrics "at k"
    numbers: list[Name] = Field(list(NUMBER_FIELDS), max_length=50)  # numeric fields of the event itself
    embedding: EmbeddingSettings | None = None
    team: str = ""
    lineage: dict[str, dict[str, str]] = {}  # of a version, or of all ("*"): what a retrain request says of its origin
    rows_query: str | None = None  # how to get the rows since drift began; {from} {to} {from_ms} {to_ms} {model} {version}
    tags: dict[str, str] = {}  # labels of its alerts, for routes and silences
    features: dict[str, Literal["numeric", "category", "boolean", "datetime", "text"]] = {}
    segments: Annotated[list[SegmentSettings], Field(max_length=50)] = []
    checks: Annotated[list[CheckSettings], Field(max_length=100)] = []
    quality: QualitySettings = QualitySettings.model_validate({})
    worst_segments: WorstSegmentSettings | None = None
    outliers: OutlierSettings | None = None
    cost: CostSettings | None = None
    resources: Annotated[list[ResourceSettings], Field(max_length=20)] = []
    fairness: FairnessSettings = FairnessSettings.model_validate({})
    columns: dict[str, str] = {}  # field of the event -> column of a parquet or csv file
    window: WindowSettings = WindowSettings.model_validate({})
    reference: ReferenceSettings = ReferenceSettings.model_validate({})
    labels: LabelSettings = LabelSettings.model_validate({})
    performance: PerformanceSettings = PerformanceSettings.model_validate({})
    dedup: DedupSettings = DedupSettings.model_validate({})
    non_finite: Literal["reject", "missing"] = "reject"
    min_rows: int = Field(200, ge=1)
    sample: SampleSettings | None = None
    multivariate: MultivariateSettings | None = None
    estimate: EstimateSettings = EstimateSettings.model_validate({})
    profile: Literal["evidently", "nannyml", "whylogs", "alibi", "sagemaker", "azure", "scouter", "frouros"] | None = None
    profile_scores: Annotated[list[str], Field(max_length=50)] = []
    evidently: Annotated[list[EvidentlySettings], Field(max_length=50)] = []
    evidently_descriptors: Annotated[list[DescriptorSettings], Field(max_length=50)] = []
    statistics: StatisticsSettings = StatisticsSettings.model_validate({})
    concept: ConceptSettings = ConceptSettings.model_validate({})
    compare: Annotated[list[CompareSettings], Field(max_length=20)] = []
    false_alarms_per_week: float = Field(1.0, ge=0.0, le=10_000.0)
    calibration: CalibrationSettings = CalibrationSettings.model_validate({})
    thresholds: dict[str, LimitSettings] = {}  # `auto` in the config: none, every limit is calibrated

    @field_validator("thresholds", mode="before")
    @classmethod
    def _auto_is_none(cls, data: Any) -> Any:
        return {} if data == "auto" else data

    @field_validator("resources")
    @classmethod
    def _own_names(cls, resources: list[ResourceSettings]) -> list[ResourceSettings]:
        names = [r.name for r in resources]
        if len(set(names)) != len(names):
            raise ValueError("two resources have one name; give each its own")
        return resources

    @model_validator(mode="before")
    @classmethod
    def _profile_needs_rows(cls, data: Any) -> Any:
        """Other tools' formulas are of rows: a profile without a sample gets one."""
        if isinstance(data, dict) and data.get("profile") and data.get("sample") is None:
            return {**data, "sample": {"rows": PROFILE_ROWS}}
        return data

    @property
    def segment_keys(self) -> tuple[str, ...]:
        """The keys of the event's `segment` that are dimensions."""
        return tuple(s.name for s in self.segments if s.where is None)

    @property
    def request_key(self) -> str | None:
        """The key of the event's `segment` that holds the request's id, for comparisons that pair by it."""
        return next((c.pair_by for c in self.compare if c.pair_by is not None), None)


class RetrainSettings(Section):
    """Which findings may retrain, and when; see alerts/retraining/policy.py."""

    on: list[Literal["concept", "performance", "drift", "fairness", "operations"]] = Field(["concept", "performance"], min_length=1)
    mode: Literal["auto", "approve", "dry_run"] = "auto"
    quiet: ScheduleSettings | None = None
    min_new_labels: int = Field(0, ge=0)
    max_futile: int = Field(2, ge=1)
    expires_ms: Duration = Field(7 * 86_400_000, alias="expires", ge=1)
    observe_windows: int = Field(5, ge=2, le=1000)
    observe_ms: Duration = Field(7 * 86_400_000, alias="observe", ge=1)
    reference: Literal["keep", "auto", "approve"] = "keep"
    tell: list[str] = []


class ChannelSettings(Section):
    type: Literal["log", "slack", "webhook", "pagerduty", "opsgenie", "teams", "discord", "email", "alertmanager", "retrain"]
    url: str | None = None
    webhook_url_env: str | None = None
    webhook_url_file: str | None = None
    bot_token_env: str | None = None
    bot_token_file: str | None = None
    channel: str | None = None
    picture: bool | None = None
    routing_key_env: str | None = None
    routing_key_file: str | None = None
    api_key_env: str | None = None
    api_key_file: str | None = None
    token_env: str | None = None
    token_file: str | None = None
    host: str | None = None
    port: int | None = Field(None, ge=1, le=65535)
    sender: str | None = None
    recipients: list[str] | None = None
    username: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    security: Literal["starttls", "tls", "none"] | None = None
    secret_env: str | None = None
    secret_file: str | None = None
    old_secret_env: str | None = None
    old_secret_file: str | None = None
    timeout_ms: Duration = Field(10_000, alias="timeout", ge=100)
    pace_ms: Duration | None = Field(None, alias="pace", ge=0)  # between two messages; by default the receiver's own limit
    adapter: str | None = None
    adapter_options: dict[str, Any] | None = Field(None, alias="options")
    policy: RetrainSettings | None = None
    cooldown_ms: Duration | None = Field(None, alias="cooldown")
    max_per_day: int | None = Field(None, ge=1)
    allow_private: bool | None = None

    def options(self) -> dict[str, Any]:
        """Options for alerts.channels.build_channel, secrets read. Raises SecretMissing."""
        given = self.model_dump(exclude={"type", "timeout_ms", "pace_ms", "policy", "adapter_options"}, exclude_none=True)
        out = {**resolve(given), "timeout_s": self.timeout_ms / 1000.0}
        if self.type == "retrain":
            out["adapter_options"] = resolve(self.adapter_options or {})
        return out


class AlertSettings(Section):
    preset: Literal["default", "none"] | None = None  # None: default where no rule is written
    rules: list[RuleSettings] = []
    route: RouteSettings | None = None  # None: every channel that only tells hears of every alert
    inhibit: list[InhibitSettings] = []  # beside alerts.inhibition.BUILT_IN
    flapping: FlappingSettings = FlappingSettings.model_validate({})
    channels: dict[str, ChannelSettings] = {}
    digests: Annotated[list[DigestSettings], Field(max_length=100)] = []


class CheckpointSettings(Section):
    interval_ms: Duration = Field(5_000, alias="interval", ge=50)


class BoundSettings(Section):
    message_bytes: Size = 1_000_000
    nesting_depth: int = Field(32, ge=4, le=500)
    future_ms: Duration = Field(300_000, alias="future")
    excerpt_bytes: Size = 4096
    categories: int = Field(200, ge=2, le=10_000)
    segments: int = Field(50, ge=1, le=10_000)
    metric_series: int = Field(20_000, ge=100)


class LogSettings(Section):
    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Section):
    store: StoreSettings = StoreSettings.model_validate({})
    sources: list[SourceSettings] = []
    http: HttpSettings = HttpSettings.model_validate({})
    models: Annotated[list[ModelSettings], Field(min_length=1)]
    alerts: AlertSettings = AlertSettings.model_validate({})
    checkpoint: CheckpointSettings = CheckpointSettings.model_validate({})
    idle_timeout_ms: Duration = Field(30_000, alias="idle_timeout")
    drain_timeout_ms: Duration = Field(15_000, alias="drain_timeout")
    slow: SlowSettings = SlowSettings.model_validate({})
    limits: BoundSettings = BoundSettings.model_validate({})
    log: LogSettings = LogSettings.model_validate({})
