FROM python:3.11 AS base
RUN one
FROM base AS user
RUN two
FROM python:3.12 AS base
RUN three
FROM base
COPY --from=user /x /x
COPY --from=base /y /y
