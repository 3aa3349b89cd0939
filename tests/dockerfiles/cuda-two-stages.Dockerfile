# A wheel with CUDA kernels: compiled with the toolkit, shipped with the runtime alone.
ARG CUDA_VERSION=12.4.1
ARG UBUNTU_VERSION=22.04
ARG CUDNN=cudnn
ARG BASE_CUDA_DEV_CONTAINER=nvcr.io/nvidia/cuda:${CUDA_VERSION}-${CUDNN}-devel-ubuntu${UBUNTU_VERSION}
ARG BASE_CUDA_RUN_CONTAINER=nvcr.io/nvidia/cuda:${CUDA_VERSION}-${CUDNN}-runtime-ubuntu${UBUNTU_VERSION}

FROM ${BASE_CUDA_DEV_CONTAINER} AS build
ARG CUDA_ARCHITECTURES="70;75;80;86;89;90"
ENV CMAKE_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES}
RUN apt-get update && apt-get install -y build-essential git ninja-build
WORKDIR /app
COPY . .
RUN cmake -B build -GNinja -DCMAKE_CUDA_ARCHITECTURES="${CUDA_ARCHITECTURES}" && cmake --build build

FROM ${BASE_CUDA_RUN_CONTAINER} AS runtime
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64:${LD_LIBRARY_PATH:-}
COPY --from=build /app/build/bin/ /app/
ENTRYPOINT [ "/app/serve" ]
