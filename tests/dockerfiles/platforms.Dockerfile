FROM --platform=linux/amd64 debian:12 AS intel
RUN intel
FROM --platform=linux/arm64 debian:12 AS arm
RUN arm
FROM --platform=${TARGETPLATFORM} debian:12 AS target
RUN target
FROM --platform=$TARGETOS/$TARGETARCH debian:12-slim AS spelled
COPY --from=target /t /t
FROM --platform=$BUILDPLATFORM alpine:3.20 AS host
COPY --from=intel /i /i
FROM arm AS on-arm
RUN more
FROM spelled
COPY --from=host /h /h
COPY --from=on-arm /a /a
