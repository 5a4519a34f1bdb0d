"""One HTTP request without redirects, without proxies, to a checked address, in bounded time; a bounded answer."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass

from alerts.backoff import parse_retry_after
from alerts.channels.address import Resolve, Target, UnsafeAddress, check_target, resolve
from alerts.channels.base import Failed, Retry

ANSWER_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. headers: names in lower case. body: at most ANSWER_BYTES of it."""

    status: int
    headers: dict[str, str]
    body: bytes
    retry_after_ms: int | None


def fetch(
    method: str, url: str, body: bytes | None, headers: dict[str, str], now_ms: int, timeout_s: float = 10.0,
    allow_private: bool = False, resolve: Resolve = resolve,
) -> Answer | Retry | Failed:  # fmt: skip
    """Never raises for what the network does; the URL, which may be secret, is in no error."""
    try:
        target = check_target(url, allow_private, resolve)
    except UnsafeAddress as error:
        return Failed(str(error))
    except (OSError, UnicodeError) as error:
        return Retry(None, f"cannot resolve the host: {error}")
    except ValueError as error:
        return Failed(f"bad url: {error}")
    connection = connection_to(target, timeout_s)
    try:
        connection.request(method, target.path, body=body, headers={**headers, "User-Agent": "driftd"})
        response = connection.getresponse()
        after = parse_retry_after(response.getheader("Retry-After"), now_ms)
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read(ANSWER_BYTES), after)
    except TimeoutError:
        return Retry(None, f"no answer within {timeout_s:g} s")
    except (OSError, http.client.HTTPException) as error:
        return Retry(None, f"connection failed: {type(error).__name__}")
    except ValueError:  # its text would show the header
        return Failed("a header holds a line break or a character that HTTP cannot send: look at the secrets")
    finally:
        connection.close()


def connection_to(target: Target, timeout_s: float) -> http.client.HTTPConnection:
    """A connection to the checked IP; Host header, SNI and certificate check use the URL's own host."""
    plain = http.client.HTTPConnection(target.host, target.port, timeout=timeout_s)
    connection: http.client.HTTPConnection = plain
    context = ssl.create_default_context() if target.tls else None
    if context:
        connection = http.client.HTTPSConnection(target.host, target.port, timeout=timeout_s, context=context)

    def connect() -> None:
        raw = socket.create_connection((target.ip, target.port), timeout_s)
        connection.sock = context.wrap_socket(raw, server_hostname=target.host) if context else raw

    connection.connect = connect  # type: ignore[method-assign]
    return connection
