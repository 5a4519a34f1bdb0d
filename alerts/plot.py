"""A small picture of a distribution before and after, as PNG: grey is the reference, coloured the window.

Written with zlib and nothing else: a picture of a few hundred bytes needs no plotting library in the daemon.
PNG: ISO/IEC 15948; one palette image, filter 0.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

WIDTH, HEIGHT, MARGIN = 480, 160, 12
BARS_MOST = 40
PALETTE = ((255, 255, 255), (176, 184, 193), (208, 64, 64), (90, 98, 108))  # paper, before, now, axis


def bar_plot(before: Sequence[float], after: Sequence[float]) -> bytes:
    """PNG bytes. before, after: shares of the same bins, at least one; negative ones count as 0."""
    pairs = np.clip(np.nan_to_num(np.array([before[:BARS_MOST], after[:BARS_MOST]], dtype=np.float64)), 0.0, None)
    top = float(pairs.max()) or 1.0
    canvas = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    floor = HEIGHT - MARGIN
    slot = (WIDTH - 2 * MARGIN) / pairs.shape[1]
    width = max(1, int(slot * 0.4))
    for side in (0, 1):
        for i, share in enumerate(pairs[side]):
            left = int(MARGIN + i * slot + side * width + slot * 0.1)
            tall = int(round(float(share) / top * (floor - MARGIN)))
            canvas[floor - tall : floor, left : left + width] = 1 + side
    canvas[floor, MARGIN : WIDTH - MARGIN] = 3
    return _png(canvas)


def _png(canvas: np.ndarray) -> bytes:
    height, width = canvas.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)
    rows[:, 1:] = canvas
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    colours = bytes(v for colour in PALETTE for v in colour)
    parts = ((b"IHDR", head), (b"PLTE", colours), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
