"""KServe's payload logger: CloudEvents (structured JSON) of inference requests and responses, protocols V1 and V2.

    {"specversion": "1.0", "id": "…", "type": "org.kubeflow.serving.inference.request", "time": "…",
     "inferenceservicename": "credit", "data": {"instances": [{"income": 1.0}, …]}}                       V1
    {…, "type": "org.kubeflow.serving.inference.response", "data": {"predictions": [0.7, …]}}
    V2 data: {"inputs": [{"name": "income", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]}, …]}
             {"outputs": [{"name": "score", …, "data": […]}], "model_version": "3"}

Request and response are joined by `id`; both must come in one partition (use the id as the key). Each row of a
request becomes one event, `id` for a single row, else `id-0`, `id-1`, …. What waits for its other half is
part of the checkpoint, so a restart loses nothing; at most PENDING wait, the oldest becomes a dead letter.
"""

from __future__ import annotations

import json
from typing import Any

from monitor.decode import values
from monitor.decode.native import NativeDecoder
from monitor.decode.rows import EventRows
from monitor.decode.settings import NUMBER_FIELDS, DecodeSettings
from monitor.decode.strict import parse
from monitor.decode.values import Refused
from monitor.events import DeadLetter, Decoded, PartitionKey, RawBatch

PENDING = 10_000
_LABEL_NAMES = ("label", "class", "predicted_label", "classes")
_VECTOR_NAMES = ("probabilities", "probability", "proba", "scores")  # lists of numbers, in the order of the model's classes
_SCORE_NAMES = ("score", "probability", "proba", "scores", "value", "output")


class KServeDecoder:
    """Stateful by partition: halves that wait are in `pending`."""

    def __init__(self, settings: DecodeSettings) -> None:
        self._settings = settings
        self._native = NativeDecoder(settings)
        self._waiting: dict[PartitionKey, dict[str, list[Any]]] = {}

    # state, saved with each checkpoint

    def pending(self, key: PartitionKey) -> bytes | None:
        """The halves of a partition that wait; None if nothing ever waited."""
        waiting = self._waiting.get(key)
        return None if waiting is None else json.dumps(waiting, separators=(",", ":")).encode()

    def restore(self, key: PartitionKey, blob: bytes) -> None:
        self._waiting[key] = json.loads(blob)

    def forget(self, key: PartitionKey) -> None:
        self._waiting.pop(key, None)

    # messages

    def labels(self, raw: RawBatch) -> Decoded:
        return self._native.labels(raw)

    def events(self, raw: RawBatch) -> Decoded:
        waiting = self._waiting.setdefault(raw.key, {})
        rows = EventRows(self._settings)
        for i, value in enumerate(raw.values):
            offset, record_ts = int(raw.offsets[i]), int(raw.record_ts_ms[i])
            excerpt = (value or b"")[: self._settings.excerpt_bytes]
            try:
                self._message(parse(value, self._settings), offset, record_ts, waiting, rows, excerpt)
            except Refused as refused:
                rows.dead.append(DeadLetter(offset, 0, refused.reason, refused.detail, excerpt))
        while len(waiting) > PENDING:
            oldest = next(iter(waiting))
            side, at, _ = waiting.pop(oldest)
            detail = f"{side} {oldest[:100]!r} (offset {at}) waited for its other half behind {PENDING} younger ones"
            rows.dead.append(DeadLetter(at, 0, "unpaired", detail))
        return Decoded(events=rows.batches(), dead=rows.dead)

    def _message(
        self, event: Any, offset: int, record_ts: int, waiting: dict[str, list[Any]], rows: EventRows, excerpt: bytes
    ) -> None:
        if not isinstance(event, dict):
            raise Refused("wrong_type", f"the CloudEvent is {values.kind(event)}, must be an object")
        name = values.event_id(event.get("id"))
        kind = str(event.get("type", ""))
        side = next((s for s in ("request", "response") if kind.endswith("inference." + s)), None)
        if side is None:
            raise Refused("undecodable", f"CloudEvent type is {kind[:100]!r}, must end in inference.request or .response")
        data = event.get("data")
        if isinstance(data, str):
            data = parse(data.encode(), self._settings)
        if not isinstance(data, dict):
            raise Refused("wrong_type", f"data is {values.kind(data)}, must be an object")
        half = {
            "data": data,
            "ts": values.time_ms(event["time"], "time") if event.get("time") is not None else record_ts,
            "model": event.get("inferenceservicename") or data.get("model_name"),
        }
        other = waiting.get(name)
        if other is None:
            waiting[name] = [side, offset, half]
            return
        if other[0] == side:  # sent twice: the first stands
            raise Refused("duplicate", f"{side} {name[:100]!r} came before, at offset {other[1]}")
        request, response = (half, other[2]) if side == "request" else (other[2], half)
        events = _events(name, request, response)  # raises before the other half is given up
        self._require_names(events)
        del waiting[name]
        for index, item in enumerate(events):
            rows.add(offset, index, record_ts, item, excerpt)

    def _require_names(self, events: list[dict[str, Any]]) -> None:
        """A prediction that is a list of numbers means nothing without the names of the classes."""
        for event in events:
            spec = self._settings.models.get(str(event["model"]))
            if spec is not None and event["prediction"].keys() == {"probabilities"} and "probabilities" not in spec.schema.vectors:
                raise Refused(
                    "wrong_type", "a prediction is a list of numbers; write the model's task and `classes` in their order"
                )


def _events(name: str, request: dict[str, Any], response: dict[str, Any]) -> list[dict[str, Any]]:
    """The native events of one request and its response."""
    features = _v2_rows(request["data"]["inputs"]) if "inputs" in request["data"] else _v1_rows(request["data"])
    predictions = _predictions(response["data"])
    if len(features) != len(predictions):
        raise Refused("wrong_type", f"{len(features)} inputs and {len(predictions)} predictions; they must be as many")
    out = []
    for i, (row, prediction) in enumerate(zip(features, predictions, strict=True)):
        out.append(
            {
                "event_id": name if len(features) == 1 else f"{name}-{i}",
                "ts": request["ts"],
                "model": response["model"] or request["model"],
                "version": response["data"].get("model_version") or request["data"].get("model_version"),
                "features": row,
                "prediction": prediction,
                "latency_ms": max(0, response["ts"] - request["ts"]),
                "status": "error" if "error" in response["data"] else "ok",
                "segment": request["data"].get("parameters"),
                **_measured(response["data"].get("parameters"), len(features)),
            }
        )
    return out


def _measured(parameters: Any, rows: int) -> dict[str, Any]:
    """Numbers that the server reports of a request, as response parameters: shared evenly by its rows, but for times."""
    found = parameters if isinstance(parameters, dict) else {}
    numbers = {n: found[n] for n in NUMBER_FIELDS if found.get(n) is not None}
    shared = {n: v / rows if isinstance(v, int | float) and not n.endswith("_ms") else v for n, v in numbers.items()}
    return shared


def _v1_rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    instances = data.get("instances")
    if not isinstance(instances, list):
        raise Refused("missing_field", "data has neither `instances` (V1) nor `inputs` (V2)")
    out = []
    for row in instances:
        if isinstance(row, list):
            row = {f"feature_{i}": v for i, v in enumerate(row)}
        out.append(values.section(row, "instances[]"))
    return out


def _v2_rows(tensors: Any) -> list[dict[str, Any]]:
    """One dict a row. A tensor of shape [n] is a feature, one of [n, k] is k of them: name_0, name_1, …."""
    if not isinstance(tensors, list) or not tensors:
        raise Refused("wrong_type", "inputs must be a list of tensors")
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        tensor = values.section(tensor, "inputs[]")
        name, shape, data = str(tensor.get("name", "")), tensor.get("shape"), tensor.get("data")
        if not isinstance(data, list):
            raise Refused("wrong_type", f"tensor {name!r}: data is {values.kind(data)}, must be a list")
        flat = _flatten(data)
        rows = shape[0] if isinstance(shape, list) and shape and isinstance(shape[0], int) else len(flat)
        if rows <= 0 or len(flat) % rows:
            raise Refused("wrong_type", f"tensor {name!r}: {len(flat)} values do not fit shape {shape}")
        width = len(flat) // rows
        for k in range(width):
            columns[name if width == 1 else f"{name}_{k}"] = flat[k::width]
    lengths = {len(c) for c in columns.values()}
    if len(lengths) != 1:
        raise Refused("wrong_type", f"tensors have {sorted(lengths)} rows; all must have as many")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _flatten(data: list[Any]) -> list[Any]:
    if data and isinstance(data[0], list):
        return [value for part in data for value in _flatten(part)]
    return data


def _plain_name(prediction: Any) -> str:
    """What a V1 prediction without a name is: a list of numbers, one number, or a class."""
    if isinstance(prediction, list):
        return "probabilities"
    return "score" if isinstance(prediction, float) else "label"


def _predictions(data: dict[str, Any]) -> list[dict[str, Any]]:
    if "outputs" in data:
        rows = _v2_rows(data["outputs"])
    elif isinstance(data.get("predictions"), list):
        rows = [p if isinstance(p, dict) else {_plain_name(p): p} for p in data["predictions"]]
    else:
        raise Refused("missing_field", "the response has neither `predictions` (V1) nor `outputs` (V2)")
    out = []
    for row in rows:
        prediction: dict[str, Any] = {}
        chances = [v for n, v in row.items() if str(n).lower().rpartition("_")[0] in _VECTOR_NAMES and isinstance(v, float)]
        if len(chances) > 1:  # a tensor of shape [n, k]
            prediction["probabilities"] = chances
        for name, value in row.items():
            lowered = str(name).lower()
            if lowered in _VECTOR_NAMES and isinstance(value, list | dict):
                prediction["probabilities"] = value
            elif lowered in ("labels", "items", "item_scores", "quantiles"):
                prediction[lowered] = value
            elif lowered in _LABEL_NAMES:
                prediction["label"] = value
            elif lowered in _SCORE_NAMES or (len(row) == 1 and isinstance(value, float)):
                prediction["score"] = value
            elif len(row) == 1:
                prediction["label"] = value
        out.append(prediction)
    return out
