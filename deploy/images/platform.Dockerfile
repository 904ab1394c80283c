# Code location, run and task pods: the runtime with dagster-k8s, and the local embedder's files.
# The build context is a folder with the wheel and `requirements/` (tasks.py makes it):
#   testcluster build REGISTRY/platform:TAG CONTEXT -f deploy/images/platform.Dockerfile
# Pin the base by digest where you have a registry: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE} AS build
ARG LOCK=image.txt
COPY requirements/bootstrap.txt requirements/${LOCK} /src/
RUN pip install -q --no-cache-dir --require-hashes -r /src/bootstrap.txt
ENV UV_LINK_MODE=copy
RUN python -m venv --without-pip /opt/platform \
 && uv pip install -q --python /opt/platform/bin/python --no-cache --compile-bytecode \
    --require-hashes -r /src/${LOCK}
# Our own wheel is not compiled: __pycache__ beside the sample documents would be a document.
COPY dist/*.whl /src/
RUN uv pip install -q --python /opt/platform/bin/python --no-cache --no-deps /src/*.whl \
 && PYTHONDONTWRITEBYTECODE=1 /opt/platform/bin/python -c "from pathlib import Path; from platform_pipelines.gateways.e5.provisioning import provision; provision(Path('/opt/models'), progress=print)"
# Dagster wants a project's file above the package; the wheel has none.
COPY deploy/images/dg.toml /opt/platform/dg.toml

FROM ${BASE}
COPY --from=build /opt/platform /opt/platform
COPY --from=build --chown=65532:65532 /opt/models /opt/models
ENV PATH=/opt/platform/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    PLATFORM_MODEL_DIR=/opt/models DAGSTER_DISABLE_TELEMETRY=yes
USER 65532:65532
WORKDIR /opt/platform
