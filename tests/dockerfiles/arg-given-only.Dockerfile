ARG REGISTRY
ARG BASE_TAG
FROM ${REGISTRY:-registry.example.org/ds}/python:${BASE_TAG:?missing}
ARG GIT_SHA
LABEL revision=${GIT_SHA:-unknown}
