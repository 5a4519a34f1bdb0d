"""The hash of the request that a prediction answers, waiting with it for its label: 12 bytes before the rest of its payload.

    "WSR1" | 8 bytes: the first half of the id's hash (monitor/decode/ids.py)

So rows of two versions are paired by request (detectors/request_errors.py), though labels come by event.
"""

from __future__ import annotations

import numpy as np

from detectors.columns import DictColumn, Hashes, Schema
from detectors.request_errors import PART, halves
from monitor.decode.ids import hash_texts
from monitor.waiting_cells import WIDTH, Bytes

MAGIC: Bytes = np.frombuffer(b"WSR1", dtype=np.uint8)


def has_requests(schema: Schema) -> bool:
    """Whether the predictions of a model leave the hash of their request."""
    return PART in schema.parts


def hashes_of(requests: DictColumn) -> Hashes:
    """The hash of each row's request, 0 where it names none."""
    if not requests.values:
        return np.zeros(len(requests.codes), dtype=np.uint64)
    return np.append(hash_texts(list(requests.values))[:, 0], np.uint64(0))[requests.codes]  # code -1 is the last


def heads_of(hashes: Hashes) -> Bytes:
    """What each row leaves, shape (n, WIDTH); zeros where it names no request."""
    out = np.zeros((len(hashes), WIDTH), dtype=np.uint8)
    there = np.flatnonzero(hashes)
    if len(there):
        out[there, :4] = MAGIC
        out[there, 4:] = hashes[there].astype("<u8").view(np.uint8).reshape(-1, 8)
    return out


def requests_of(heads: Bytes) -> np.ndarray:
    """Hashes as outcomes have them, shape (n, 2); NaN where there is none."""
    found = halves(np.ascontiguousarray(heads[:, 4:]).view("<u8").reshape(-1).astype(np.uint64))
    found[heads[:, 0] == 0] = np.nan
    return found
