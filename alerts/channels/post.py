"""One HTTP POST without redirects, without proxies, to a checked address, in bounded time."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass

from alerts.backoff import parse_retry_after
from alerts.channels.address import Resolve, Target, UnsafeAddress, check_target, resolve
from alerts.channels.base import Failed, Outcome, Retry, outcome_of_status


@dataclass(frozen=True, slots=True)
class Poster:
    """Posts to one URL. timeout_s bounds connecting and each wait for bytes; the answer's body is not kept."""  # noqa: E501

    url: str
    timeout_s: float = 10.0
    allow_private: bool = False
    resolve: Resolve = resolve

    def post(self, body: bytes, headers: dict[str, str], now_ms: int) -> Outcome:
        """Never raises for what the network does; the URL, which may be secret, is in no error."""
        try:
            target = check_target(self.url, self.allow_private, self.resolve)
        except UnsafeAddress as error:
            return Failed(str(error))
        except (OSError, UnicodeError) as error:
            return Retry(None, f"cannot resolve the host: {error}")
        except ValueError as error:
            return Failed(f"bad url: {error}")
        connection = connection_to(target, self.timeout_s)
        try:
            connection.request("POST", target.path, body=body, headers={**headers, "User-Agent": "driftd"})
            response = connection.getresponse()
            after = parse_retry_after(response.getheader("Retry-After"), now_ms)
            return outcome_of_status(response.status, after)
        except TimeoutError:
            return Retry(None, f"no answer within {self.timeout_s:g} s")
        except (OSError, http.client.HTTPException) as error:
            return Retry(None, f"connection failed: {type(error).__name__}")
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
