# The agents of `Agent` with `runtime: image`: our LangGraph program, from the class `agents`' lock.
# `make image NAME=REGISTRY/agent:TAG CLASS=agent` makes the build context and calls the builder.
# Pin the base by digest where you have a registry: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE} AS build
COPY requirements/bootstrap.txt environments/agents.txt /src/
RUN pip install -q --no-cache-dir --require-hashes -r /src/bootstrap.txt
ENV UV_LINK_MODE=copy
RUN python -m venv --without-pip /opt/agent \
 && uv pip install -q --python /opt/agent/bin/python --no-cache --compile-bytecode \
    --require-hashes -r /src/agents.txt
COPY dist/*.whl /src/
RUN uv pip install -q --python /opt/agent/bin/python --no-cache --no-deps /src/*.whl

FROM ${BASE}
COPY --from=build /opt/agent /opt/agent
ENV PATH=/opt/agent/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /opt/agent
# Kagent's Service of a BYO agent asks port 8080.
EXPOSE 8080
ENTRYPOINT ["python", "-m", "platform_pipelines.serving.agents.program"]
CMD ["8080", "0.0.0.0"]
