# Each argument is made from those before it.
ARG OS=debian
ARG RELEASE=bookworm
ARG FLAVOUR=-slim
ARG TAG=${RELEASE}${FLAVOUR}
ARG IMAGE=${OS}:${TAG}
ARG UNUSED=nothing:${TAG}
FROM ${IMAGE} AS first
ARG RELEASE
ARG SUITE=${RELEASE}-backports
RUN echo "deb http://deb.example.org ${SUITE} main" > /etc/apt/sources.list.d/b.list
FROM first
ARG IMAGE
LABEL base=$IMAGE
