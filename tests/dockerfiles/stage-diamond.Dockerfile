FROM ubuntu:24.04 AS base
RUN base
FROM base AS left
RUN left
FROM base AS right
RUN right
FROM left AS bottom
COPY --from=right /r /r
FROM base AS apart
RUN apart
FROM bottom AS test
RUN --mount=from=apart,target=/apart,rw test
FROM bottom
