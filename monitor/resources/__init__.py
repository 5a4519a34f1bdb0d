"""What serving takes: CPU, memory, network, open files, GPU, and what the server says of itself, sampled as time goes by.

    probe.py       what a probe is, and counters that become rates
    process.py     a process and its children, or a cgroup, by psutil
    gpu.py         a GPU by NVML
    scrape.py      a server's Prometheus page; servers.py says which of its metrics mean what
    build.py       from the config to probes
    collector.py   the thread that asks the probes and hands samples to the store

Samples are stored by (model, source, time) and become scores of the windows that they lie in: monitor/resource_scores.py.
"""
