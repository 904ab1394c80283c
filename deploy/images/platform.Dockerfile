# Code location, run and task pods: the runtime with dagster-k8s, and the local embedder's files.
# `make image NAME=REGISTRY/platform:TAG` makes the build context and calls the builder.
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
# Golden sets are scored by Ragas, in the environment of its own that the evaluation starts.
RUN /opt/platform/bin/python -c "from pathlib import Path; from platform_pipelines.compute.environments import interpreter; interpreter('evaluation', Path('/opt/classes'), print)"
# Dagster wants a project's file above the package; the wheel has none.
COPY deploy/images/dg.toml /opt/platform/dg.toml

FROM ${BASE}
COPY --from=build /opt/platform /opt/platform
COPY --from=build /opt/classes /opt/classes
COPY --from=build --chown=65532:65532 /opt/models /opt/models
ENV PATH=/opt/platform/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    PLATFORM_MODEL_DIR=/opt/models PLATFORM_ENVIRONMENTS_DIR=/opt/classes DAGSTER_DISABLE_TELEMETRY=yes
USER 65532:65532
WORKDIR /opt/platform
