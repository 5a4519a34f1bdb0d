from typing import Any

Tally = tuple[int, int, int, int, float, float, float, float]

def adaptive(values: Any, shift: int, keys: Any, counts: Any, out_keys: Any, out_counts: Any) -> tuple[int, int, Tally]: ...
def grid(
    values: Any, edges: Any, by_bits: bool, first: int, drop: int, origin: float, scale: float, base: Any, single: Any, crowded: Any, counts: Any, sums: Any,
) -> Tally: ...  # fmt: skip
