"""Ranked lists as Evidently's data sets, and its metrics of them. Imported only in the process of a slow detector.

A row is an item of a list: `user_id`, `item_id` (a hash), its place or its score as `prediction`, its relevance as `target`, and the
request's features. Who the user is:

    a feature that `user` names     each user's newest list; what the reference's lists held that was relevant to them is training data
    none                            each request is a user of its own

Relevant items that a list lacks stand far behind its end. Features of items are those of the reference's catalogue
(`driftd reference build --items`): an item that it does not know is left out, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from detectors.columns import Columns
from monitor.evidently_data import RANKING, Found, Refused, Samples, none_came, values_of
from monitor.evidently_names import CASES, LABELLED, OF_ITEMS, OF_USERS, SCORED, TRAINED, item_columns

FAR = 1_000_000  # the place of a relevant item that a list lacks
CASES_MOST = 50  # rows of a table of single users


@dataclass(frozen=True, slots=True)
class Wish:
    """What a data set of lists is to hold."""

    labelled: bool = False
    user: str | None = None
    scored: bool = False
    features: tuple[str, ...] = ()  # of items, in place of the request's


def of_lists(samples: Samples, made: Any, name: str, user: str | None) -> Found:
    """A metric's results, or a preset's, of which what cannot be is left out. Raises Refused."""
    if samples.schema.task != RANKING:
        raise Refused(f"{name} is of task {RANKING}; this model's is {samples.schema.task}")
    items = samples.rows[0].lists.get("items")
    if items is None or not (items.lengths > 0).any():
        raise Refused("the window's sample holds no items: its rows have none, or `mask` has the prediction")
    if not hasattr(made, "generate_metrics"):
        return _one(samples, made, name, Wish(name in LABELLED, user))
    train = {"current_train_data": _interactions(samples, Wish(user=user))}
    out = Found([])
    plain = []
    for metric in made.generate_metrics(SimpleNamespace(additional_data=train)):
        kind = type(metric).__name__
        if kind not in OF_ITEMS | {SCORED, CASES}:
            plain.append(metric)
            continue
        try:
            out = out.joined(_one(samples, metric, kind, Wish(True, user)))
        except Refused as error:
            out.left_out.append(f"{kind}: {error}")
    sides = _sides(samples, Wish(True, user))
    return Found(_run(plain, sides, train)).joined(out)


def _one(samples: Samples, metric: Any, name: str, wish: Wish) -> Found:
    """One metric on the data that it needs."""
    if name in OF_USERS and wish.user is None:
        raise Refused(f"{name} must know whose list it is: write user: FEATURE beside the metric")
    features = tuple(item_columns(name, vars(metric))) if name in OF_ITEMS else ()
    wish = replace(wish, features=features, scored=name == SCORED)
    sides = _sides(samples, wish)
    train = {"current_train_data": _interactions(samples, wish)} if name in TRAINED else {}
    if name == "Serendipity":
        _must_meet(sides[0], train["current_train_data"])
    found = Found(_run([metric], sides, train), _unknown(samples, wish))
    return _cases(samples, found) if name == CASES else found


def _run(metrics: list[Any], sides: list[Any], train: dict[str, Any]) -> list[dict[str, Any]]:
    from evidently import Report

    results: list[dict[str, Any]] = Report(metrics).run(*sides, additional_data=train).dict()["metrics"]
    return results


def _sides(samples: Samples, wish: Wish) -> list[Any]:
    """The window's data set, and the reference's, None where it has no such lists."""
    out = [_ranked(samples, at, wish) for at in (0, 1)]
    if out[0] is None:
        if wish.scored:
            raise Refused("the window's sample holds no scores of items: send prediction.item_scores beside prediction.items")
        if wish.user is not None:
            raise Refused(f"no list of the window's sample that fits has a value of {wish.user!r}")
        raise Refused(none_came(samples.rows[0]))
    return out


def _interactions(samples: Samples, wish: Wish) -> Any:
    """The relevant items of the reference's lists: training data."""
    found = _ranked(samples, 1, Wish(True, wish.user, features=wish.features), only_relevant=True)
    if found is None:
        raise Refused("the reference keeps no ranked lists with labels: build it anew, with this metric in the config")
    return found


def _must_meet(window: Any, train: Any) -> None:
    data = window.as_dataframe()
    if not set(data["user_id"][data["target"] > 0]) & set(train.as_dataframe()["user_id"]):
        raise Refused("no user with a relevant item in the window has one in the reference")


def _ranked(samples: Samples, at: int, wish: Wish, only_relevant: bool = False) -> Any:
    """Items as rows, best first, of the window (0) or the reference (1); None where there are none."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Recsys

    rows = samples.rows[at]
    if rows is None or "items" not in rows.lists:
        return None
    items, scores = rows.lists["items"], rows.lists.get("item_scores")
    told = [label if isinstance(label, list) else None for label in samples.labels[at]] if wish.labelled else []
    users = _users(samples, at, wish.user)
    ids: list[Any] = []
    names: list[str] = []
    hashes: list[int] = []
    of: list[int] = []
    places: list[float] = []
    gains: list[float] = []
    for i in _chosen(rows, told if wish.labelled else None, users, all_lists=only_relevant):
        found = items.row(i)
        listed, lacking = told[i] or ([], []) if wish.labelled else ([], [])
        own = [] if found is None else found.tolist()
        valued = scores.row(i) if wish.scored and scores is not None else None
        if wish.scored and (valued is None or not len(valued)):
            continue
        more = [] if only_relevant or wish.scored or wish.features else [f"lacking-{i}-{j}" for j in range(len(lacking))]
        names += [*map(_item, own), *more]
        hashes += [*own, *[0] * len(more)]
        of += [i] * (len(own) + len(more))
        ids += [i if users is None else users[i]] * (len(own) + len(more))
        places += [*(range(1, len(own) + 1) if valued is None else valued.tolist()), *[FAR] * len(more)]
        gains += [*listed, *[0.0] * (len(own) - len(listed)), *lacking[: len(more)]]
    index = np.array(of, dtype=np.int64)
    numbers = {} if wish.features else {f: v[index] for f, v in rows.numeric.items()}
    texts = {} if wish.features else {f: np.array(c.to_list(), dtype=object)[index] for f, c in rows.categorical.items()}
    data = pd.DataFrame({**numbers, **texts, "user_id": ids, "item_id": names, "prediction": places})
    if wish.labelled:
        data["target"] = gains
    if wish.features:
        known, item_numbers, item_texts = _features(samples, wish.features, np.array(hashes, dtype=np.uint64))
        numbers, texts = item_numbers, item_texts
        for feature, values in {**numbers, **texts}.items():
            data[feature] = values
        data = data[known]
    if only_relevant:
        data = data[data["target"] > 0]
    if data.empty:
        return None
    definition = DataDefinition(
        numerical_columns=[*numbers, "prediction", *(["target"] if wish.labelled else [])], categorical_columns=list(texts),
        ranking=[Recsys(recommendations_type="score" if wish.scored else "rank")],
    )  # fmt: skip
    return Dataset.from_pandas(data.reset_index(drop=True), data_definition=definition)


def _item(item: int) -> str:
    """An item's id. Evidently takes strings of digits for numbers, in some places only."""
    return f"item:{item:016x}"


def _chosen(rows: Columns, told: list[Any] | None, users: list[str | None] | None, all_lists: bool) -> list[int]:
    """The lists: with a label, where they are to have one; with a user, and of each the newest one, where it is known."""
    out = list(range(rows.rows)) if told is None else [i for i, label in enumerate(told) if label is not None]
    if users is None:
        return out
    out = [i for i in out if users[i] is not None]
    if all_lists:
        return out
    times = np.zeros(rows.rows, dtype=np.int64) if rows.ts_ms is None else rows.ts_ms
    newest = {users[i]: i for i in sorted(out, key=lambda i: (int(times[i]), -i))}
    return sorted(newest.values())


def _users(samples: Samples, at: int, user: str | None) -> list[str | None] | None:
    if user is None:
        return None
    rows = samples.rows[at]
    found = None if rows is None else values_of(rows, samples.texts[at], user)
    if found is None:
        raise Refused(f"the sample has no feature {user!r} that says who the user is")
    return found


def _features(samples: Samples, features: tuple[str, ...], hashes: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Which rows have all features of their items, and these."""
    catalogue = samples.items
    lacking = [f for f in features if catalogue is None or f not in {**catalogue.numeric, **catalogue.categorical}]
    if catalogue is None or lacking:
        raise Refused(
            f"the reference knows no {', '.join(lacking)} of items: build it anew with --items FILE, and this metric in the config"
        )
    at = catalogue.find(hashes)
    known = at >= 0
    numbers = {f: np.where(known, v[at], np.nan) for f, v in catalogue.numeric.items() if f in features}
    texts = {
        f: np.array([None if i < 0 else column[i] for i in at.tolist()], dtype=object)
        for f, column in ((f, c.to_list()) for f, c in catalogue.categorical.items() if f in features)
    }
    for values in numbers.values():
        known = known & ~np.isnan(values)
    for values in texts.values():
        known = known & np.array([v is not None for v in values], dtype=np.bool_)
    return known, numbers, texts


def _unknown(samples: Samples, wish: Wish) -> list[str]:
    """How many of the window's items are left out, where their features are asked for."""
    if not wish.features:
        return []
    items = np.unique(samples.rows[0].lists["items"].values)
    known, _, _ = _features(samples, wish.features, items)
    lost = int((~known).sum())
    return [f"{lost} of {len(items)} items without features in the reference"] if lost else []


def _cases(samples: Samples, found: Found) -> Found:
    """A table of single users is no number of the window: its rows are counted, and the first of them are evidence."""
    columns = found.results[0]["value"]
    rows = list(next(iter(columns.values()), {}))
    items = samples.items
    named = {} if items is None else {_item(h): n for h, n in zip(items.hashes.tolist(), items.names, strict=True)}
    cases = [{c: values[i] for c, values in columns.items()} for i in rows[:CASES_MOST]]
    for case in cases:
        case["item_id"] = named.get(str(case["item_id"]), case["item_id"])
    return Found([{"config": {"type": CASES}, "value": len(rows)}], found.left_out, {"cases": cases})
