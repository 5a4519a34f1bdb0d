"""Which alerts a receiver was told of and still fire: the store knows, whoever sent what, and however many fit in a message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from alerts.notification import Member


@dataclass(frozen=True, slots=True)
class Told:
    """One alert as it stands now. labels: its own. link: to its page, "" where none is known."""

    labels: dict[str, str]
    member: Member
    link: str = ""


class Roll(Protocol):
    """See monitor/store/roll.py."""

    def told(self, channel: str, model: str = "", group: str = "") -> list[Told]:
        """Those that fire and of which a message to the channel spoke; of one model's group, or of all ("")."""
        ...

    def known(self, marks: Iterable[str]) -> list[Told]:
        """The alerts of these fingerprints that the store has, whatever their state."""
        ...
