FROM python:3.13-slim
COPY --from=ghcr.io/astral-sh/uv:0.5.4 /uv /uvx /bin/
COPY --from=docker.io/hadolint/hadolint:v2.12.0-alpine /bin/hadolint /bin/
ENV UV_SYSTEM_PYTHON=1
RUN --mount=from=ghcr.io/astral-sh/uv:0.5.4,source=/uv,target=/bin/uv2 uv2 --version
COPY requirements.txt .
RUN uv pip install -r requirements.txt
