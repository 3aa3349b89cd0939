ARG BASE=debian
ARG VERSION=12
ARG FULL=${BASE}:${VERSION}
FROM ${FULL} AS deps
ARG VERSION=default
RUN ./install "$VERSION"
FROM ${BASE}:${VERSION}-slim
COPY --from=deps /opt /opt
