ARG PYTHON
ARG EMPTY=
ARG SET=yes
ARG MIRROR=${SET:+mirror.example.org/}
ARG NO_MIRROR=${EMPTY:+mirror.example.org/}
FROM ${MIRROR}python:${PYTHON:-3.12}${EMPTY:--slim} AS one
RUN true
FROM ${NO_MIRROR}python:${PYTHON:-3.11}${EMPTY-x} AS two
RUN false
FROM "${MIRROR}r-base":${EMPTY:-${PYTHON:-4}.4} AS three
COPY --from=one /a /a
COPY --from=two /b /b
