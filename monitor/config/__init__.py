"""config.yaml: read it, explain every mistake at once, print it as it takes effect.

load_config(path), parse_config(text, name) -> Config; raise ConfigError with every Problem
effective(cfg)                              -> YAML with all defaults, secrets masked
config_hash(cfg, model)                     -> what decides a model's results, as 12 hex digits
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from monitor.config.channels import address_problems
from monitor.config.cross import FIELD_OF, cross_problems
from monitor.config.lines import Document, Path, YamlProblem, parse
from monitor.config.model import Config, SourceSettings
from monitor.config.secret import SecretMissing, masked
from monitor.config.units import write_duration

__all__ = [
    "Config",
    "ConfigError",
    "Problem",
    "config_hash",
    "effective",
    "load_config",
    "missing_secrets",
    "parse_config",
    "refused_outcomes",
]
MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. path is dotted; value as written, masked if it is a secret."""

    file: str
    line: int
    path: str
    value: str
    message: str
    fix: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        fix = f"; {self.fix}" if self.fix else ""
        return f"{self.file}:{self.line}: {self.path}{shown}: {self.message}{fix}"


class ConfigError(ValueError):
    """The config cannot be used; `problems` holds every mistake."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems


def load_config(path: FilePath) -> Config:
    """Raises ConfigError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError([Problem(str(path), 1, "(file)", "", f"is larger than {MAX_BYTES} bytes", "split it")])
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        fix = "give the path of a config; config.yaml in the repository is one by example"
        raise ConfigError([Problem(str(path), 0, "(file)", "", error.strerror or str(error), fix)]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), 1, "(file)", "", f"is not UTF-8: {error.reason}", "save it as UTF-8")]) from error
    return parse_config(text, str(path))


def parse_config(text: str, name: str) -> Config:
    """Raises ConfigError. name is the file's, for messages."""
    try:
        document = parse(text)
    except YamlProblem as error:
        raise ConfigError([Problem(name, error.line, "(yaml)", "", error.message, "")]) from error
    if not isinstance(document.data, dict):
        raise ConfigError([Problem(name, 1, "(top)", "", "must be a mapping", "start from config.yaml of the repository")])
    problems = [_problem(name, document, path, message, fix) for path, message, fix in cross_problems(document.data)]
    config = None
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        problems += [_from_pydantic(name, document, e) for e in error.errors()]
    if problems:
        unique = {(p.line, p.path, p.message): p for p in problems}
        raise ConfigError(sorted(unique.values(), key=lambda p: (p.line, p.path)))
    assert config is not None
    return config


def missing_secrets(cfg: Config, name: str, text: str = "") -> list[Problem]:
    """The secrets that the config names and that are not there, or are an address that is not allowed. text: the file's, for lines."""
    document = parse(text) if text else Document({})
    wanted: list[tuple[Path, Any]] = [(("store",), cfg.store.sqlalchemy_url), (("http",), cfg.http.token_values)]
    wanted += [(("sources", i), s.client_options) for i, s in enumerate(cfg.sources)]
    wanted += [(("alerts", "channels", n), c.options) for n, c in cfg.alerts.channels.items()]
    out = []
    for path, read in wanted:
        try:
            read()
        except SecretMissing as error:
            out.append(Problem(name, document.line(path), _dotted(path), "", str(error), ""))
    for path, what in address_problems(cfg.alerts.channels):
        out.append(Problem(name, document.line(path), _dotted(path), "", what, ""))
    return out


def unusable_functions(cfg: Config, name: str, text: str = "") -> list[Problem]:
    """The user's functions that the config names and that cannot be used. Imports them."""
    from monitor.custom import load_function

    document = parse(text) if text else Document({})
    out = []
    for i, model in enumerate(cfg.models):
        for j, custom in enumerate(model.performance.custom):
            path: Path = ("models", i, "performance", "custom", j, "function")
            try:
                load_function(custom.function)
            except ValueError as error:
                out.append(Problem(name, document.line(path), _dotted(path), "", str(error), ""))
    return out


def refused_outcomes(cfg: Config, name: str, text: str) -> list[Problem]:
    """The user's functions that raise on outcomes made up for a trial: most likely they raise in every window. Calls them."""
    from monitor.trial import ROWS, raised

    document, out = parse(text), []
    for i, model in enumerate(cfg.models):
        for j, said in raised(model).items():
            path: Path = ("models", i, "performance", "custom", j, "function")
            fix = 'its metric has no value in such a window; what it is given: ARCHITECTURE.md, "A metric of the user\'s own"'
            out.append(_problem(name, document, path, f"tried on {ROWS} outcomes that were made up, it raised {said}", fix))
    return out


def _dotted(path: Path) -> str:
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else (f".{part}" if out else str(part))
    return out or "(top)"


def _value(document: Document, path: Path) -> str:
    value: Any = document.data
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return ""
    if isinstance(value, dict | list):
        return ""
    text = json.dumps(masked(value, str(path[-1]) if path else ""), ensure_ascii=False, default=str)
    if "://" in text and "@" in text:
        text = '"********"'  # an address with a password in it
    return text if len(text) <= 80 else text[:77] + "…"


def _problem(name: str, document: Document, path: Path, message: str, fix: str) -> Problem:
    return Problem(name, document.line(path), _dotted(path), _value(document, path), message, fix)


def _from_pydantic(name: str, document: Document, error: Any) -> Problem:
    path: Path = tuple(error["loc"])
    kind, context = error["type"], error.get("ctx", {})
    message, fix = str(error["msg"]).removeprefix("Value error, "), ""
    if kind == "extra_forbidden":
        known = _known_keys(path[:-1])
        close = get_close_matches(str(path[-1]), known, n=1)
        message = "is not known here"
        fix = (f"did you mean {close[0]!r}? " if close else "") + f"allowed: {', '.join(known)}"
    elif kind == "missing":
        message, fix = "is missing", f"write {path[-1]}: …"
    elif kind == "literal_error":
        allowed = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
        written = _value(document, path).strip('"')
        close = get_close_matches(written, allowed.split(", "), n=1)
        message = "is not allowed"
        fix = (f"did you mean {close[0]!r}? " if close else "") + f"allowed: {allowed}"
    elif kind == "string_pattern_mismatch":
        message = "has characters that are not allowed"
        fix = f"it must match {context.get('pattern')}"
    elif kind.startswith(("string_type", "int_", "float_", "bool_", "list_", "dict_")):
        fix = "write a value of that type"
    return _problem(name, document, path, message, fix)


def _known_keys(path: Path) -> list[str]:
    """The keys of the section at a path."""
    found: Any = Config
    for part in path:
        if isinstance(part, int):
            continue
        section = _section_of(found)
        if section is None:
            return []
        names = {f.alias or n: f for n, f in section.model_fields.items()}
        found = names[part].annotation if part in names else found
    section = _section_of(found)
    return sorted(f.alias or n for n, f in section.model_fields.items()) if section else []


def _section_of(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    for inner in getattr(kind, "__args__", ()):
        section = _section_of(inner)
        if section is not None:
            return section
    return None


def _plain(value: Any, name: str = "") -> Any:
    if isinstance(value, BaseModel):
        out = {}
        for field, info in type(value).model_fields.items():
            item = getattr(value, field)
            if item is None or (isinstance(value, SourceSettings) and FIELD_OF.get(info.alias or field, value.type) != value.type):
                continue
            key = info.alias or field
            out[key] = write_duration(item) if field.endswith("_ms") else _plain(item, field)
        return out
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, FilePath) else value


def effective(cfg: Config) -> str:
    """The config with every default filled in, as YAML, secrets masked."""
    plain = masked(_plain(cfg))
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return text


def config_hash(cfg: Config, model: str) -> str:
    """12 hex digits over all that decides a model's scores. Raises KeyError for an unknown model."""
    found = {m.name: m for m in cfg.models}[model]
    decisive = {"model": found.model_dump(mode="json"), "limits": cfg.limits.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]
