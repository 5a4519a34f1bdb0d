"""config.yaml: all mistakes at once, each with line, path, value, what is allowed and a fix; secrets never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import Config, ConfigError, config_hash, effective, load_config, missing_secrets, parse_config
from monitor.config.units import parse_duration, parse_size, write_duration

ROOT = Path(__file__).resolve().parents[1]
GOOD = "models: [{name: m}]\n"


def problems(text):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yaml")
    return {(p.line, p.path): f"{p.message}; {p.fix}" for p in caught.value.problems}


def test_the_config_by_example_is_valid_and_its_effective_form_means_the_same():
    cfg = load_config(ROOT / "config.yaml")
    again = parse_config(effective(cfg), "effective")
    assert again == cfg and isinstance(again, Config)


def test_every_mistake_is_said_at_once_with_its_line():
    text = """\
store: {url: "postgresql+psycopg://me:hunter2@db/d"}
sorces: []
http: {listen: "0.0.0.0:80"}
sources:
  - {name: a, type: kafka}
  - {name: a, type: file, topics: [x]}
models:
  - name: m
    task: binry
    window: {size: 1m, slide: 7s, lateness: 3s}
    thresholds: {pssi: {warn: 1}, psi: {warn: 2, breach: 1}}
    dedup: {horizon: 10}
  - {name: m, task: binary}
  - {name: driftd}
alerts:
  rules: [{name: r, chanels: [x], scores: [psi, acuracy]}, {name: s, channels: [nowhere]}]
  channels: {s: {type: slack, webhook_url: "https://hooks.slack.com/x"}, w: {type: webhook}}
"""
    found = problems(text)
    expected = {
        (1, "store.url"): "password_env",
        (2, "sorces"): "did you mean 'sources'?",
        (3, "http.listen"): "token_env",
        (5, "sources[0]"): "needs",
        (6, "sources[1].name"): "taken",
        (6, "sources[1].topics"): "means nothing",
        (6, "sources[1]"): "needs path",
        (9, "models[0].task"): "did you mean 'binary'?",
        (10, "models[0].window.slide"): "must divide size",
        (10, "models[0].window.lateness"): "did you mean 'allowed_lateness'?",
        (11, "models[0].thresholds.pssi"): "did you mean 'psi'?",
        (11, "models[0].thresholds.psi"): "must lie above warn",
        (12, "models[0].dedup.horizon"): "250ms, 10s",
        (13, "models[1].name"): "taken",
        (13, "models[1]"): "positive_label",
        (14, "models[2].name"): "the daemon itself",
        (16, "alerts.rules[0].chanels"): "did you mean 'channels'?",
        (16, "alerts.rules[0].scores[1]"): "did you mean 'accuracy'?",
        (16, "alerts.rules[1].channels[0]"): "no channel 'nowhere'",
        (17, "alerts.channels.s.webhook_url"): "webhook_url_env",
        (17, "alerts.channels.w.type"): "url is missing",
    }
    for place, words in expected.items():
        assert any(words in text for at, text in found.items() if at == place), (place, words, found)
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not valid YAML"),
        ("a: 1\na: 2\n", "stands twice"),
        ("- 1\n", "must be a mapping"),
        ("", "is missing"),
        ("models: !!python/object/apply:os.system [echo]\n", "not allowed"),
        ("a: &a {<<: *b}\n", "not valid YAML"),
        ("x: &x [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{c}: &{c} [*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p}]\n" for p, c in zip("xyabcdef", "yabcdefg", strict=True)),
         "more than 50000 values"),
        ("a: " + "[" * 200 + "]" * 200, "nested more than"),
    ],
)  # fmt: skip
def test_yaml_that_is_no_plain_data_is_refused_quickly(text, words):
    assert any(words in message for message in problems(text).values()), problems(text)


def test_secrets_are_named_read_late_and_never_shown(monkeypatch, tmp_path):
    (tmp_path / "pw").write_text("canary-file\n")
    text = GOOD + (
        f"store: {{url: 'postgresql+psycopg://u@h/d', password_file: {tmp_path}/pw}}\n"
        "http: {token_env: TOKEN_X}\n"
        "sources: [{name: k, type: kafka, topics: [t], bootstrap_servers: 'h:1', options: {sasl.password_env: KAFKA_X}}]\n"
        "alerts: {channels: {hook: {type: webhook, url: 'https://e.example/x', secret_env: HOOK_X}}}\n"
    )
    cfg = parse_config(text, "c.yaml")
    missing = [(p.path, p.line, p.message) for p in missing_secrets(cfg, "c.yaml", text)]
    assert [m[:2] for m in missing] == [("http", 3), ("sources[0]", 4), ("alerts.channels.hook", 5)]
    assert all("is not set" in m[2] for m in missing)
    for name in ("TOKEN_X", "KAFKA_X", "HOOK_X"):
        monkeypatch.setenv(name, "canary-" + name)
    assert missing_secrets(cfg, "c.yaml") == []
    assert cfg.sources[0].client_options() == {"sasl.password": "canary-KAFKA_X"}
    assert cfg.store.sqlalchemy_url().password == "canary-file"
    assert "canary" not in effective(cfg) + repr(cfg) + str(cfg.store.sqlalchemy_url())


def test_statistics_that_do_not_exist_or_do_not_fit_are_refused_with_a_suggestion():
    found = problems(
        "models:\n  - name: m\n    features: {x: numeric, c: category}\n    statistics:\n"
        "      default: [wasserstien]\n      features:\n        x: [cramers_v]\n        y: [ks]\n        c: [chi2, ks]\n"
    )
    assert "did you mean 'wasserstein'?" in found[5, "models[0].statistics.default[0]"]
    assert "not for a feature of kind numeric; allowed: psi" in found[7, "models[0].statistics.features.x[0]"]
    assert "no feature 'y'" in found[8, "models[0].statistics.features.y"]
    assert "not for a feature of kind category" in found[9, "models[0].statistics.features.c[1]"] and len(found) == 4


def test_a_formula_profile_keeps_a_sample_of_rows_unless_one_is_written():
    models = parse_config(
        "models: [{name: a, profile: nannyml}, {name: b, profile: alibi, sample: {rows: 50}}, {name: c}]", "x"
    ).models
    assert [m.sample.rows if m.sample else None for m in models] == [5000, 50, None]
    assert "did you mean 'nannyml'?" in problems("models: [{name: a, profile: nanyml}]\n")[1, "models[0].profile"]


def test_the_scores_of_a_profile_that_are_asked_for_are_its_tools():
    named = "profile_scores: [anderson, t_tset, psi, empirical_mmd, perc_text_content_drift]"
    found = problems(f"models: [{{name: a, profile: evidently, {named}}}, {{name: b, profile_scores: [x]}}]\n")
    said = {path: words for (_, path), words in found.items()}
    assert "did you mean 't_test'?" in said["models[0].profile_scores[1]"]
    assert "always computed" in said["models[0].profile_scores[2]"]
    assert "method: empirical_mmd" in said["models[0].profile_scores[3]"]
    assert "texts: [FEATURE]" in said["models[0].profile_scores[4]"]
    assert "the model has none" in said["models[1].profile_scores"] and len(said) == 5


def test_a_hash_changes_with_what_decides_results_and_with_nothing_else():
    one = parse_config("models: [{name: m, min_rows: 10}, {name: n}]\n", "a")
    two = parse_config("models: [{name: m, min_rows: 11}, {name: n}]\nlog: {level: debug}\n", "b")
    assert config_hash(one, "m") != config_hash(two, "m") and config_hash(one, "n") == config_hash(two, "n")


@given(st.integers(1, 10**10))
def test_durations_are_read_as_they_are_written(ms):
    assert parse_duration(write_duration(ms)) == ms


@pytest.mark.parametrize("bad", [5, None, "5", "five seconds", "-1s", "1.5ms", "1 year", [], "1e3s"])
def test_bad_durations(bad):
    with pytest.raises(ValueError, match="write a number and a unit"):
        parse_duration(bad)


def test_sizes():
    assert [parse_size(v) for v in (0, "4096", "512KB", "1MB", "1 MiB", "1.5kb")] == [0, 4096, 512_000, 10**6, 1 << 20, 1500]
    for bad in (-1, "x", True, "1TB"):
        with pytest.raises(ValueError):
            parse_size(bad)


def test_stream_detectors_are_named_with_options_that_they_take():
    text = """\
models:
  - {name: a, task: binary, positive_label: x, concept: {detectors: {adwn: {}, adwin: {dleta: 0.1}, ddm: {drift: 1.0}}}}
  - {name: b, task: regression, concept: {detectors: [ddm, adwin]}}
  - {name: c, task: ranking, concept: {detectors: [adwin]}}
"""
    found = problems(text)
    for place, words in {
        (2, "models[0].concept.detectors.adwn"): "did you mean 'adwin'",
        (2, "models[0].concept.detectors.adwin.dleta"): "allowed: delta (0.002)",
        (2, "models[0].concept.detectors.ddm"): "0 < warning <= drift",
        (3, "models[1].concept.detectors[0]"): "allowed: adwin",
        (4, "models[2].concept.detectors"): "no stream of errors",
    }.items():
        assert words in found.get(place, ""), (place, found)
    listed = parse_config("models: [{name: m, task: regression, concept: {detectors: [adwin, cusum]}}]", "c").models[0]
    assert listed.concept.detectors == {"adwin": {}, "cusum": {}}


def test_slow_detectors_have_limits_and_a_bound_on_how_far_back_they_look():
    cfg = parse_config("models: [{name: m}]\nslow: {every: 5s, timeout: 30s, memory: 1GB, windows: 3}\n", "c")
    assert (cfg.slow.every_ms, cfg.slow.timeout_ms, cfg.slow.memory, cfg.slow.windows) == (5000, 30_000, 10**9, 3)
    found = problems(
        "models: [{name: m, evidently: [{metric: value drift}], evidently_descriptors: [{descriptor: text length}], sample: {rows: 1}, multivariate: {mnd: [features]}}]\n"
    )
    assert set(path for _, path in found) == {
        "models[0].evidently[0].metric", "models[0].evidently_descriptors[0].descriptor", "models[0].sample.rows", "models[0].multivariate.mnd",
    }  # fmt: skip


def test_a_feature_may_be_named_like_a_secret():
    cfg = parse_config(
        "models: [{name: m, features: {tokens_in: numeric, secret_sauce: category}, columns: {ts: token_time}}]", "t"
    )
    assert set(cfg.models[0].features) == {"tokens_in", "secret_sauce"} and "secret_sauce: category" in effective(cfg)
    with pytest.raises(ConfigError, match="secret must not stand"):
        parse_config("http: {token: abc}\nmodels: [{name: m}]", "t")


def test_limits_are_calibrated_unless_the_config_sets_them_and_mistakes_name_the_fix():
    cfg = parse_config("models: [{name: m, thresholds: auto, false_alarms_per_week: 2}]\n", "c").models[0]
    assert cfg.thresholds == {} and cfg.false_alarms_per_week == 2 and cfg.calibration.min_rows == 30
    found = problems(
        "models:\n  - name: m\n    thresholds: never\n    false_alarms_per_week: -1\n    calibration:\n"
        "      scores: [count]\n      min_effect: {jss: 0.1}\n      correction: holm\n      series: [memory_byte, js, mae]\n"
    )
    for place, words in {
        (3, "models[0].thresholds"): "dictionary",
        (4, "models[0].false_alarms_per_week"): "greater than or equal to 0",
        (6, "models[0].calibration.scores[0]"): "no calibrated limit",
        (7, "models[0].calibration.min_effect.jss"): "did you mean 'js'",
        (8, "models[0].calibration.correction"): "bonferroni",
        (9, "models[0].calibration.series[0]"): "did you mean 'memory_bytes'",
        (9, "models[0].calibration.series[1]"): "is compared with the reference",
    }.items():
        assert any(words in text for at, text in found.items() if at == place), (place, found)
