FROM registry.invalid/gone/away:1 AS broken
COPY nothing /
RUN exit 1
FROM broken AS broken-too
COPY --from=registry.invalid/also/gone /x /x
FROM debian:12 AS good
RUN true
FROM scratch
COPY --from=good /bin /bin
