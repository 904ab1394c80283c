# A login of names and passwords in front of the web server, for the chart's `proxy`: Debian's nginx.
# Its configuration is the chart's (docs/eks.md). Pin the base by digest where you have a registry.
ARG BASE=docker.io/library/debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends nginx-light \
 && rm -rf /var/lib/apt/lists/*
USER 65532:65532
