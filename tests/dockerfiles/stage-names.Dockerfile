FROM debian:12 AS a.b_c-1
RUN a
FROM a.b_c-1 AS x2
RUN b
FROM alpine:3 AS stage-7
RUN c
FROM x2 AS scratch-pad
COPY --from=stage-7 / /alpine
FROM scratch AS empty
FROM empty AS also-empty
COPY --from=scratch-pad / /
