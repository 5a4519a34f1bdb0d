"""Which addresses a webhook may reach: the guard against requests forged through a config or its DNS.

The host is resolved once, every answer is checked, and the connection goes to the checked address.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

Resolve = Callable[[str, int], list[str]]


class UnsafeAddress(ValueError):
    """The address may not be reached. The text says which and how to allow it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A checked destination: connect to ip, but ask for host."""

    tls: bool
    host: str
    ip: str
    port: int
    path: str


def is_public(ip: str) -> bool:
    """False for private, loopback, link-local, CGNAT, multicast, reserved, and IPv6 that wraps such IPv4."""
    address = ipaddress.ip_address(ip.split("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and (int(address) >> 32 == 0 or address in _NAT64):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast and not address.is_reserved


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolve(host: str, port: int) -> list[str]:
    """All addresses of the host. Raises OSError where it has none."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def check_host(host: str, port: int, allow_private: bool, resolve: Resolve = resolve) -> list[str]:
    """The host's addresses. Raises UnsafeAddress where one is private, OSError where the name does not resolve."""
    addresses = resolve(host, port)
    if not addresses:
        raise OSError(f"{host} has no address")
    inside = next((ip for ip in addresses if not is_public(ip)), None)
    if inside is not None and not allow_private:
        raise UnsafeAddress(f"{host} is {inside}, not a public address: set allow_private: true to allow it")
    return addresses


def check_target(url: str, allow_private: bool, resolve: Resolve = resolve) -> Target:
    """The checked destination of an http(s) URL.

    Raises UnsafeAddress for a forbidden scheme or address, OSError where the name does not resolve.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise UnsafeAddress(f"url scheme is {parts.scheme!r}: must be https (or http with allow_private: true)")
    if parts.username is not None or parts.password is not None:
        raise UnsafeAddress("url holds a user or password: give the secret with secret_env instead")
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    addresses = check_host(parts.hostname, port, allow_private, resolve)
    if not allow_private and not tls:
        raise UnsafeAddress(f"{parts.hostname}: http is not encrypted: use https, or set allow_private: true")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(tls, parts.hostname, addresses[0], port, path)
