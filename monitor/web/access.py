"""Who may do what over HTTP: bearer tokens with scopes, and the names that the daemon answers to.

    read      look at everything but secrets       ingest   push events and labels
    act       acknowledge, silence, approve        admin    all of it

Without tokens (the default, on loopback only) everyone may read and push; acting wants `http.allow_actions: true`. There are
no cookies, so a foreign page cannot act in somebody's name; a Host header that is not ours is refused, so that a name that
is pointed at 127.0.0.1 later does not help it either.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.web.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Token:
    """One bearer token; only its SHA-256 is kept. name: who acts, in the audit trail."""

    name: str
    scopes: frozenset[str]
    digest: bytes = field(repr=False)

    @staticmethod
    def of(name: str, scopes: Iterable[str], secret: str) -> Token:
        return Token(name, frozenset(scopes), hashlib.sha256(secret.encode()).digest())

    def allows(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the token's name, or "" where none is needed."""

    name: str


class Access:
    """The rules of one server. hosts: names besides its own that requests may be addressed to."""

    def __init__(self, tokens: Iterable[Token] = (), allow_actions: bool = False, hosts: Iterable[str] = ()) -> None:
        self.tokens = tuple(tokens)
        self.allow_actions = allow_actions
        self._hosts = frozenset(h.lower() for h in hosts)

    @property
    def open(self) -> bool:
        return not self.tokens

    def may_act(self, token: Token | None) -> bool:
        return self.allow_actions if token is None else token.allows("act")

    def admit(self, authorization: str, scope: str) -> Caller:
        """Raises Refusal: 401 without a known token, 403 for one that may not."""
        if self.open:
            if scope in ("act", "admin") and not self.allow_actions:
                raise Refusal(403, "acting is off: set http.allow_actions: true, or http.tokens with the scope act")
            return Caller("")
        token = self.token(authorization)
        if token is None:
            raise Refusal(401, "send the header Authorization: Bearer with a token of http.tokens or http.token_env")
        if not token.allows(scope):
            raise Refusal(403, f"the token {token.name!r} has no scope {scope}; it has {', '.join(sorted(token.scopes))}")
        return Caller(token.name)

    def token(self, authorization: str) -> Token | None:
        """The token of a header; every known one is compared, whichever fits."""
        kind, _, secret = authorization.partition(" ")
        given = hashlib.sha256(secret.strip().encode("utf-8", "surrogateescape")).digest()
        found = None
        for token in self.tokens:
            if hmac.compare_digest(token.digest, given) and kind.lower() == "bearer":
                found = token
        return found

    def check_host(self, host: str) -> None:
        """Raises Refusal for a request that is addressed to somebody else; where tokens guard, only configured names count."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        name = name.strip("[]").lower()
        if name in self._hosts or (self.tokens and not self._hosts) or name == "localhost":
            return
        try:
            if ipaddress.ip_address(name).is_loopback:
                return
        except ValueError:
            pass
        raise Refusal(421, f"the host {name[:100]!r} is not this server; add it to http.hosts")
