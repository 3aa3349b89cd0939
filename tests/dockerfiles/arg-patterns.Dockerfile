ARG VERSION=v3.12.4
ARG NUMBER=${VERSION#v}
ARG MINOR=${NUMBER%.*}
ARG MAJOR=${NUMBER%%.*}
ARG PATCH=${NUMBER##*.}
ARG DASHED=${NUMBER//./-}
FROM python:${MINOR} AS minor
RUN echo 1
FROM python:${MAJOR}-patch${PATCH} AS major
RUN echo 2
FROM registry.example.org/tools:${DASHED/-/_} AS dashed
COPY --from=minor /m /m
COPY --from=major /m /m
