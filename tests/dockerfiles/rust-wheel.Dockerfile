ARG RUST_VERSION=1.83
FROM rust:${RUST_VERSION}-slim AS chef
RUN cargo install cargo-chef
WORKDIR /app
FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path recipe.json
FROM chef AS cacher
COPY --from=planner /app/recipe.json recipe.json
RUN cargo chef cook --release --recipe-path recipe.json
FROM ghcr.io/pyo3/maturin:v1.7.8 AS wheel
COPY --from=cacher /app/target target
COPY . .
RUN maturin build --release --out /dist
FROM python:3.12-slim AS runtime
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist pip install /dist/*.whl
