"""The part in C that counts columns (see _kernels.c), or None where it was not built: numpy then does the same."""

from __future__ import annotations

from types import ModuleType

kernels: ModuleType | None
try:
    from detectors import _kernels as kernels
except ImportError:
    kernels = None
