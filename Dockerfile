# Two stages: build the wheels, then a small image that runs as nobody, with a read-only root if you like.
FROM python:3.12-slim AS build
WORKDIR /src
# the parts in C: without a compiler they would be left out, and decoding would be slower
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml setup.py constraints.txt README.md ./
COPY detectors detectors
COPY alerts alerts
COPY monitor monitor
RUN pip wheel --no-cache-dir --wheel-dir /wheels -c constraints.txt . && python -m zipfile -l /wheels/driftd-*-abi3-*.whl | grep -q _scan

FROM python:3.12-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels driftd \
    && useradd --uid 65532 --no-create-home --shell /usr/sbin/nologin driftd \
    && mkdir /data && chown 65532 /data
USER 65532
WORKDIR /data
EXPOSE 8321
# /etc/driftd/config.yaml is yours; secrets come from the environment or from files that it names
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s CMD ["python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8321/healthy', timeout=2)"]
ENTRYPOINT ["driftd"]
CMD ["run", "--config", "/etc/driftd/config.yaml"]
