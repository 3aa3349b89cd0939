FROM scratch AS base-amd64
COPY amd64/ /
FROM scratch AS base-arm64
COPY arm64/ /
FROM base-$TARGETARCH AS base
ARG TARGETARCH
COPY common-${TARGETARCH} /
FROM alpine:3-${TARGETOS}-${TARGETARCH}${TARGETVARIANT} AS alp
RUN x
FROM base
COPY --from=alp / /alp
