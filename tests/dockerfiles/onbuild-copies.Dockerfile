FROM alpine:3.20 AS tool
RUN make tool
FROM debian:12 AS parent
ONBUILD COPY --from=tool /t /t
ONBUILD RUN --mount=type=bind,from=busybox:1,target=/b true
RUN echo parent
FROM parent AS child
RUN echo child
FROM debian:12-slim
COPY --from=parent /p /p
