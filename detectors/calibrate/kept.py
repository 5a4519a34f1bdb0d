"""What is a function of its key, such as a null table: kept for the next window, and made for many features at once where it is not there yet."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

# tables of a statistic, 1 kB each with what they are functions of: where features are more, each window makes all anew
MOST = 16_384
Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")
Like = TypeVar("Like", bound=Hashable)
Of = TypeVar("Of")


class Kept(Generic[Key, Made]):
    """make: what is of these keys, each of which must be to the last bit what it is alone. most: how many are kept; the oldest go first."""

    def __init__(self, make: Callable[[Sequence[Key]], Iterable[Made]], most: int) -> None:
        self._make, self._most = make, most
        self._made: dict[Key, Made] = {}

    def __call__(self, key: Key) -> Made:
        found = self._made.get(key)
        if found is None:
            found = next(iter(self._make([key])))
            self._keep([(key, found)])
        return found

    def prepare(self, keys: Iterable[Key]) -> None:
        """Make those that are not there, together; no more than are kept."""
        lacking = [key for key in dict.fromkeys(keys) if key not in self._made][: self._most]
        if lacking:
            self._keep(list(zip(lacking, self._make(lacking), strict=True)))

    def _keep(self, made: Sequence[tuple[Key, Made]]) -> None:
        self._made.update(made)
        for oldest in list(self._made)[: max(0, len(self._made) - self._most)]:
            self._made.pop(oldest, None)  # another thread may have taken it

    def cache_clear(self) -> None:
        self._made.clear()


def together(wanted: Sequence[tuple[Like, Of]], make: Callable[[Like, list[Of]], Iterable[Made]]) -> list[Made]:
    """What is made of what is wanted, in order, those that are alike made by one call."""
    alike: dict[Like, list[int]] = {}
    for i, (like, _) in enumerate(wanted):
        alike.setdefault(like, []).append(i)
    out: dict[int, Made] = {}
    for like, places in alike.items():
        out.update(zip(places, make(like, [wanted[i][1] for i in places]), strict=True))
    return [out[i] for i in range(len(wanted))]
