"""Which metrics of a server's Prometheus page mean what, from the servers' own documentation.

    triton       docs/user_guide/metrics.md of triton-inference-server/server (microseconds, GPU share of 1)
    torchserve   docs/metrics.md of pytorch/serve, metrics_mode=prometheus (microseconds, percent, megabytes)
    tfserving    /monitoring/prometheus/metrics with a monitoring config (microseconds)
    kserve       the Python model servers' histograms of their steps (seconds)
    dcgm         NVIDIA's DCGM exporter, default counters (percent, MiB)
    cadvisor     docs/storage/prometheus.md of google/cadvisor

The page of any server may hold `process_*`, of the Prometheus client libraries: these are read of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIB = float(1 << 20)


@dataclass(frozen=True, slots=True)
class Reading:
    """How one of our metrics comes from a page: samples of `metric` that match are joined and scaled.

    gauge: as it is. rate: growth a second. mean: growth of metric / growth of `over`.
    unlike: (label, value) of the samples of metric that do not count; those without that label do not count either.
    """

    metric: str
    how: Literal["gauge", "rate", "mean"] = "gauge"
    scale: float = 1.0
    over: str = ""
    join: Literal["sum", "mean", "max"] = "sum"
    unlike: tuple[str, str] | None = None

    @property
    def source(self) -> str:
        """What the samples that count are kept under."""
        return self.metric if self.unlike is None else "{}{{{}!={}}}".format(self.metric, *self.unlike)


Table = dict[str, tuple[Reading, ...]]  # our metric -> the first reading that the page has

PROCESS: Table = {
    "cpu_cores": (Reading("process_cpu_seconds_total", "rate"),),
    "memory_bytes": (Reading("process_resident_memory_bytes"),),
    "open_files": (Reading("process_open_fds"),),
    "network_receive_bytes_per_s": (Reading("process_network_receive_bytes_total", "rate"),),
    "network_transmit_bytes_per_s": (Reading("process_network_transmit_bytes_total", "rate"),),
}
SERVERS: dict[str, Table] = {
    "triton": {
        "server_requests_per_s": (Reading("nv_inference_request_success", "rate"),),
        "server_failures_per_s": (Reading("nv_inference_request_failure", "rate"),),
        "server_request_ms": (Reading("nv_inference_request_duration_us", "mean", 1e-3, "nv_inference_request_success"),),
        "server_queue_ms": (Reading("nv_inference_queue_duration_us", "mean", 1e-3, "nv_inference_request_success"),),
        "server_compute_ms": (Reading("nv_inference_compute_infer_duration_us", "mean", 1e-3, "nv_inference_request_success"),),
        "server_pending_requests": (Reading("nv_inference_pending_request_count"),),
        "gpu_utilization": (Reading("nv_gpu_utilization", join="mean"),),
        "gpu_memory_bytes": (Reading("nv_gpu_memory_used_bytes"),),
        "gpu_power_watts": (Reading("nv_gpu_power_usage"),),
        "memory_bytes": (Reading("nv_cpu_memory_used_bytes"),),
    },
    "torchserve": {
        "server_requests_per_s": (Reading("ts_inference_requests_total", "rate"),),
        "server_failures_per_s": (Reading("Requests5XX", "rate"), Reading("Requests5XX_total", "rate")),
        "server_request_ms": (
            Reading("ts_inference_latency_microseconds", "mean", 1e-3, "ts_inference_requests_total"),
            Reading("PredictionTime", join="mean"),
        ),
        "server_queue_ms": (
            Reading("ts_queue_latency_microseconds", "mean", 1e-3, "ts_inference_requests_total"),
            Reading("QueueTime", join="mean"),
        ),
        "gpu_utilization": (Reading("GPUUtilization", scale=0.01, join="mean"),),
        "gpu_memory_bytes": (Reading("GPUMemoryUsed", scale=MIB),),
        "memory_bytes": (Reading("MemoryUsed", scale=MIB),),
    },
    "tfserving": {
        "server_requests_per_s": (Reading(":tensorflow:serving:request_count", "rate"),),
        "server_failures_per_s": (Reading(":tensorflow:serving:request_count", "rate", unlike=("status", "OK")),),
        "server_request_ms": (
            Reading(":tensorflow:serving:request_latency_sum", "mean", 1e-3, ":tensorflow:serving:request_latency_count"),
        ),
        "server_compute_ms": (
            Reading(":tensorflow:serving:runtime_latency_sum", "mean", 1e-3, ":tensorflow:serving:runtime_latency_count"),
        ),
        "server_queue_ms": (
            Reading(
                ":tensorflow:serving:batching_session:queuing_latency_sum", "mean", 1e-3,
                ":tensorflow:serving:batching_session:queuing_latency_count",
            ),
        ),
    },
    "kserve": {
        "server_requests_per_s": (Reading("request_predict_seconds_count", "rate"),),
        "server_compute_ms": (Reading("request_predict_seconds_sum", "mean", 1e3, "request_predict_seconds_count"),),
    },
    "dcgm": {
        "gpu_utilization": (Reading("DCGM_FI_DEV_GPU_UTIL", scale=0.01, join="mean"),),
        "gpu_memory_bytes": (Reading("DCGM_FI_DEV_FB_USED", scale=MIB),),
        "gpu_power_watts": (Reading("DCGM_FI_DEV_POWER_USAGE"),),
        "gpu_temperature_celsius": (Reading("DCGM_FI_DEV_GPU_TEMP", join="max"),),
    },
    "cadvisor": {
        "cpu_cores": (Reading("container_cpu_usage_seconds_total", "rate"),),
        "memory_bytes": (Reading("container_memory_working_set_bytes"),),
        "open_files": (Reading("container_file_descriptors"),),
        "network_receive_bytes_per_s": (Reading("container_network_receive_bytes_total", "rate"),),
        "network_transmit_bytes_per_s": (Reading("container_network_transmit_bytes_total", "rate"),),
    },
    "process": {},
}  # fmt: skip


def table_of(server: str) -> Table:
    """The readings for a kind of server. Raises KeyError for one that is not known."""
    return {**PROCESS, **SERVERS[server]}
