"""The query template of a model: which fields it may have."""

from __future__ import annotations

import string

QUERY_FIELDS = ("from", "to", "from_ms", "to_ms", "model", "version")


def unknown_fields(template: str) -> list[str]:
    """The fields of a query template that nobody fills. Raises ValueError where it is no template."""
    found = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    return [name for name in found if name not in QUERY_FIELDS]
