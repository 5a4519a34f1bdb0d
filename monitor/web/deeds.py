"""What every deed over HTTP has: who does it, and an answer where it cannot be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monitor.store.actions import NotFiring, UnknownAlert, UnknownSilence
from monitor.store.retrains import UnknownRetrain, WrongState
from monitor.web.access import Caller
from monitor.web.refusal import Refusal

NOT_FOUND, WRONG_STATE = (UnknownAlert, UnknownSilence, UnknownRetrain), (NotFiring, WrongState)


def author_of(who: Caller, given: str) -> str:
    """The token's name where there is one; else what the caller says."""
    return who.name or given.strip() or "someone on this machine"


def done(action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the action gives. Raises Refusal: 404, 409 or 400 with its reason."""
    try:
        return action()
    except NOT_FOUND as error:
        raise Refusal(404, str(error)) from error
    except WRONG_STATE as error:
        raise Refusal(409, str(error)) from error
    except ValueError as error:
        raise Refusal(400, str(error)) from error
