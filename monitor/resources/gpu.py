"""A GPU's utilisation, memory, power and temperature, by NVIDIA's management library (package nvidia-ml-py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monitor.resources.probe import ProbeUnavailable


def load_nvml() -> Any:
    """The module pynvml. Raises ProbeUnavailable where it is not installed."""
    try:
        import pynvml
    except ImportError:
        raise ProbeUnavailable("nvidia-ml-py is not installed: pip install 'driftd[gpu]'") from None
    return pynvml


class GpuProbe:
    """index: the GPU's number as nvidia-smi lists it. A machine without a driver or with fewer GPUs is unavailable."""

    def __init__(self, index: int, load: Callable[[], Any] = load_nvml) -> None:
        self._index = index
        self._load = load
        self._nvml: Any = None

    def sample(self, now_s: float) -> dict[str, float]:
        nvml = self._nvml or self._load()
        try:
            if self._nvml is None:
                nvml.nvmlInit()
                self._nvml = nvml
            handle = nvml.nvmlDeviceGetHandleByIndex(self._index)
        except nvml.NVMLError as error:
            self._nvml = None  # a driver that is loaded later, or anew, is found at the next sample
            raise ProbeUnavailable(f"GPU {self._index}: {error}; is there an NVIDIA driver, and a GPU of that number?") from None
        out: dict[str, float] = {}
        readings: dict[str, Callable[[], float]] = {
            "gpu_utilization": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100.0,
            "gpu_memory_bytes": lambda: float(nvml.nvmlDeviceGetMemoryInfo(handle).used),
            "gpu_power_watts": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000.0,  # milliwatts
            "gpu_temperature_celsius": lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        }
        refused = ""
        for name, read in readings.items():
            try:
                out[name] = read()
            except nvml.NVMLError as error:  # a GPU need not know all of them
                refused = str(error)
        if not out:
            self._nvml = None
            raise ProbeUnavailable(f"GPU {self._index}: {refused}")
        return out
