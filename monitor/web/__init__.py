"""The HTTP side of the daemon; see server.py."""

from __future__ import annotations

from monitor.web.access import Access, Token
from monitor.web.push import split
from monitor.web.server import Shown, WebServer

__all__ = ["Access", "Shown", "Token", "WebServer", "split"]
