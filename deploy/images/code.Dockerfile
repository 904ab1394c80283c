# Code location, web server, daemon and run pods: they plan, hand out, follow, release. No model,
# no engine: their tasks run in the images `parse`, `embed` and `evaluation`.
# `make image NAME=REGISTRY/platform-code:TAG CLASS=code` builds it. Pin the base by digest where you
# have a registry: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE} AS build
COPY requirements/bootstrap.txt requirements/images/sbom.txt requirements/images/code.txt /src/
RUN pip install -q --no-cache-dir --require-hashes -r /src/bootstrap.txt
ENV UV_LINK_MODE=copy
RUN python -m venv --without-pip /opt/platform \
 && uv pip install -q --python /opt/platform/bin/python --no-cache --compile-bytecode \
    --require-hashes -r /src/code.txt
# Our own wheel is not compiled: __pycache__ beside the sample documents would be a document.
COPY dist/*.whl /src/
RUN uv pip install -q --python /opt/platform/bin/python --no-cache --no-deps /src/*.whl
# Dagster wants a project's file above the package; the wheel has none.
COPY deploy/images/dg.toml /opt/platform/dg.toml
# What is in it: CycloneDX of the Python packages, and the system's as its package manager lists them.
RUN python -m venv --without-pip /opt/sbom \
 && uv pip install -q --python /opt/sbom/bin/python --no-cache --require-hashes -r /src/sbom.txt \
 && /opt/sbom/bin/cyclonedx-py environment --output-reproducible -o /opt/platform/sbom.cdx.json \
    /opt/platform/bin/python

FROM ${BASE}
RUN dpkg-query -W > /os-packages.txt
COPY --from=build /opt/platform /opt/platform
ENV PATH=/opt/platform/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    DAGSTER_DISABLE_TELEMETRY=yes
USER 65532:65532
WORKDIR /opt/platform
