"""The query template of a model: which fields it may have."""

from __future__ import annotations

import string

QUERY_FIELDS = ("from", "to", "from_ms", "to_ms", "model", "version")


def unknown_fields(template: str) -> list[str]:
    """The fields of a query template that nobody fills. Raises ValueError where it is no template, or would fail when it is filled."""
    found = list(string.Formatter().parse(template))
    unknown = [name for _, name, _, _ in found if name is not None and name not in QUERY_FIELDS]
    for _, name, spec, conversion in found:
        if name in QUERY_FIELDS and (spec or conversion):
            written = f"{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}"
            raise ValueError(f"{{{written}}} says how to write a value: write {{{name}}}, values go in as they are")
    if not unknown:
        template.format(**dict.fromkeys(QUERY_FIELDS, ""))
    return unknown
