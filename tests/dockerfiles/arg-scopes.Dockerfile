ARG VERSION=3.12
FROM python:${VERSION} AS outer
# Here VERSION is not known any more.
RUN echo "[${VERSION}]"
FROM outer AS declared
ARG VERSION
RUN echo "[${VERSION}]" declared
FROM outer AS shadowed
ARG VERSION=4
ARG OTHER=$VERSION
ENV OTHER=$OTHER
FROM shadowed AS inherits
RUN echo $VERSION $OTHER
FROM python:$VERSION-slim
COPY --from=declared /a /
