# syntax=docker/dockerfile:1
FROM --platform=$BUILDPLATFORM tonistiigi/xx:1.5.0 AS xx
FROM --platform=$BUILDPLATFORM golang:1.23-alpine AS build
RUN apk add clang lld
COPY --from=xx / /
WORKDIR /src
ARG TARGETPLATFORM
ARG TARGETOS TARGETARCH
RUN --mount=target=. \
    --mount=type=cache,target=/root/.cache/go-build \
    xx-go build -o /out/tool ./cmd/tool && xx-verify /out/tool

FROM scratch AS binaries
COPY --from=build /out/ /

FROM alpine:3.20 AS release
RUN apk add --no-cache ca-certificates
COPY --from=binaries /tool /usr/bin/tool
ENTRYPOINT ["/usr/bin/tool"]
