FROM debian:12 AS build
RUN x
FROM debian:12-slim
RUN --mount=type=bind,from=0,target=/m ls /m
COPY --from=0 /x /x
