ARG REGISTRY=quay.io
ARG OWNER=jupyter
ARG BASE_IMAGE=$REGISTRY/$OWNER/scipy-notebook
FROM $BASE_IMAGE AS base

# The wheels of the vendor bring their own CUDA.
ARG CUDA=12.4
ARG TORCH_INDEX="https://download.example.org/whl/cu${CUDA}"
RUN pip install --no-cache-dir --extra-index-url=https://pypi.example.org --index-url "$TORCH_INDEX" \
    'torch' \
    'torchvision' && \
    fix-permissions "/home/${NB_USER}"

FROM base
ENV NVIDIA_VISIBLE_DEVICES="all" \
    NVIDIA_DRIVER_CAPABILITIES="compute,utility"
ENV LD_LIBRARY_PATH="/usr/local/nvidia/lib:/usr/local/nvidia/lib64"
