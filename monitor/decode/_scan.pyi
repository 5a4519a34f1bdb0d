from typing import Any

class Scanner:
    def __init__(
        self, sections: int, fields: tuple[tuple[int, bytes, int, int, bool], ...], powers: bytes, depth_limit: int
    ) -> None: ...
    def scan(
        self, values: list[bytes | None], first: int, end: int, message_bytes: int,
        numbers: Any, codes: Any, times: Any, flags: Any, ids: Any, taken: Any,
    ) -> list[list[str]]: ...  # fmt: skip
