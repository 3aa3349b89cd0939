# The stage to stand on is chosen by an argument, for a variant without a GPU.
ARG DEVICE=cpu
FROM python:3.12-slim AS build-cpu
ENV INDEX=https://pypi.example.org/cpu
RUN pip install --index-url $INDEX torch
FROM nvcr.io/nvidia/pytorch:24.10-py3 AS build-gpu
RUN pip check
FROM build-${DEVICE} AS final
COPY train.py /opt/
FROM final AS dev
ARG DEVICE
RUN pip install ipdb && echo ${DEVICE}
