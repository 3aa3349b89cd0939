ARG TF_PACKAGE=tensorflow
ARG TF_PACKAGE_VERSION=
ARG ARCH=
ARG CUDA=12.3
FROM nvidia/cuda${ARCH:+-$ARCH}:${CUDA}.0-base-ubuntu22.04 as base
# ARCH and CUDA are specified again because the FROM directive resets ARGs
# (but their default value is retained if set previously)
ARG ARCH
ARG CUDA
ARG CUDNN=8.9.6.50-1
ARG LIBNVINFER_MAJOR_VERSION=8
SHELL ["/bin/bash", "-c"]
RUN apt-get update && apt-get install -y --no-install-recommends \
        cuda-command-line-tools-${CUDA/./-} \
        libcublas-${CUDA/./-} \
        libcudnn8=${CUDNN}+cuda${CUDA} && \
    find /usr/local/cuda-${CUDA}/lib64/ -type f -name 'lib*_static.a' -not -name 'libcudart_static.a' -delete
RUN [[ "${ARCH}" = "ppc64le" ]] || { apt-get update && \
        apt-get install -y --no-install-recommends libnvinfer${LIBNVINFER_MAJOR_VERSION}=8.6.1.6-1+cuda12.0; }
ENV LD_LIBRARY_PATH /usr/local/cuda-11.0/targets/x86_64-linux/lib:/usr/local/cuda/extras/CUPTI/lib64:$LD_LIBRARY_PATH
FROM base AS jupyter
ARG TF_PACKAGE
ARG TF_PACKAGE_VERSION
RUN python3 -m pip install --no-cache-dir ${TF_PACKAGE}${TF_PACKAGE_VERSION:+==${TF_PACKAGE_VERSION}}
COPY bashrc /etc/bash.bashrc
