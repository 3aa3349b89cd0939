FROM python:3.12 AS deps
RUN pip download -d /pkgs numpy
FROM alpine:3.20 AS tools
RUN apk add jq
FROM python:3.12-slim
WORKDIR /app
RUN --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    --mount=type=bind,from=deps,source=/pkgs,target=/pkgs,readonly \
    --mount=from=tools,target=/tools \
    --mount=type=cache,from=busybox:1,source=/etc,target=/cache \
    --mount=type=tmpfs,target=/tmp,size=64m \
    pip install --no-index --find-links /pkgs .
RUN --mount="type=bind,from=docker.io/library/alpine:3.19,target=/alp" ls
RUN --mount=type=bind,target=. --mount=type=cache,id=x,target=/c,mode=0755,sharing=private make
