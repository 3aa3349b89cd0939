FROM python:3.12-slim AS base
WORKDIR /src
COPY pyproject.toml .
RUN pip install .
FROM base AS test
COPY tests tests
RUN pytest
FROM base AS docs
COPY docs docs
RUN sphinx-build docs /html
FROM nginx:1.27-alpine AS site
COPY --from=docs /html /usr/share/nginx/html
FROM base AS release
COPY --from=test /src/.coverage /dev/null
ENTRYPOINT ["python", "-m", "pkg"]
