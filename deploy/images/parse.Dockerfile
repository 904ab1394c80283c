# Task pods that read documents which anybody may have written: no Dagster, no cluster client, no
# engine. With tesseract, so that `parse.ocr` reads scans.
# `make image NAME=REGISTRY/platform-parse:TAG CLASS=parse` builds it. Pin the base by digest where you
# have a registry: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE} AS models
COPY requirements/bootstrap.txt requirements/image.txt /src/
RUN pip install -q --no-cache-dir --require-hashes -r /src/bootstrap.txt
ENV UV_LINK_MODE=copy
RUN python -m venv --without-pip /opt/all \
 && uv pip install -q --python /opt/all/bin/python --no-cache --require-hashes -r /src/image.txt
COPY dist/*.whl /src/
RUN uv pip install -q --python /opt/all/bin/python --no-cache --no-deps /src/*.whl \
 && PYTHONDONTWRITEBYTECODE=1 /opt/all/bin/python -c "from pathlib import Path; from platform_pipelines.gateways.e5.provisioning import provision; provision(Path('/opt/models'), progress=print)"

FROM ${BASE} AS build
COPY requirements/bootstrap.txt requirements/images/sbom.txt requirements/images/parse.txt /src/
RUN pip install -q --no-cache-dir --require-hashes -r /src/bootstrap.txt
ENV UV_LINK_MODE=copy
RUN python -m venv --without-pip /opt/platform \
 && uv pip install -q --python /opt/platform/bin/python --no-cache --compile-bytecode \
    --require-hashes -r /src/parse.txt
# Our own wheel is not compiled: __pycache__ beside the sample documents would be a document.
COPY dist/*.whl /src/
RUN uv pip install -q --python /opt/platform/bin/python --no-cache --no-deps /src/*.whl
# What is in it: CycloneDX of the Python packages, and the system's as its package manager lists them.
RUN python -m venv --without-pip /opt/sbom \
 && uv pip install -q --python /opt/sbom/bin/python --no-cache --require-hashes -r /src/sbom.txt \
 && /opt/sbom/bin/cyclonedx-py environment --output-reproducible -o /opt/platform/sbom.cdx.json \
    /opt/platform/bin/python

FROM ${BASE}
RUN apt-get update -q && apt-get install -q -y --no-install-recommends tesseract-ocr tesseract-ocr-kor \
 && rm -rf /var/lib/apt/lists/*
RUN dpkg-query -W > /os-packages.txt
COPY --from=build /opt/platform /opt/platform
COPY --from=models --chown=65532:65532 /opt/models /opt/models
ENV PATH=/opt/platform/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    PLATFORM_MODEL_DIR=/opt/models
USER 65532:65532
WORKDIR /opt/platform
