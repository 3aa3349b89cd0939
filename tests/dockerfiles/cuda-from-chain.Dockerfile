ARG IMAGE_NAME=nvidia/cuda
FROM ${IMAGE_NAME}:12.6.2-runtime-ubuntu24.04 AS base

ENV NV_CUDA_LIB_VERSION="12.6.2-1"

FROM base AS base-amd64
ENV NV_CUDA_CUDART_DEV_VERSION=12.6.77-1
ENV NV_LIBNPP_DEV_PACKAGE=libnpp-dev-12-6=12.3.1.54-1

FROM base AS base-arm64
ENV NV_CUDA_CUDART_DEV_VERSION=12.6.77-1
ENV NV_NVPROF_VERSION=12.6.80-1

FROM base-${TARGETARCH} AS devel
ARG TARGETARCH
LABEL maintainer "NVIDIA <sw@example.org>"
RUN apt-get update && apt-get install -y --no-install-recommends \
    cuda-cudart-dev-12-6=${NV_CUDA_CUDART_DEV_VERSION} \
    libncursesw5 \
    && rm -rf /var/lib/apt/lists/*
RUN apt-mark hold ${NV_LIBNPP_DEV_PACKAGE}
ENV LIBRARY_PATH=/usr/local/cuda/lib64/stubs
