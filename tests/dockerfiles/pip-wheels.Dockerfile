ARG PYTHON_VERSION=3.12
ARG DEBIAN_VERSION=bookworm
ARG VARIANT=slim-${DEBIAN_VERSION}

FROM python:${PYTHON_VERSION}-${DEBIAN_VERSION} AS wheels
WORKDIR /wheels
COPY requirements*.txt constraints/[a-z]*.txt ./
RUN --mount=type=cache,id=pip-${TARGETARCH},target=/root/.cache/pip,sharing=locked \
    --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    pip wheel --wheel-dir . -r requirements.txt

FROM python:${PYTHON_VERSION}-${VARIANT}
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-index --find-links=/wheels /wheels/*.whl
ENTRYPOINT ["python", "-m", "model"]
