ARG SNAPSHOT=20241105T000000Z
FROM debian:bookworm-20241016-slim AS base
ARG SNAPSHOT
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked <<EOT
rm -f /etc/apt/sources.list.d/*
echo "deb [check-valid-until=no] http://snapshot.example.org/archive/debian/${SNAPSHOT} bookworm main" > /etc/apt/sources.list
apt-get update && apt-get install -y --no-install-recommends r-base-core
EOT
FROM base AS dev
RUN apt-get install -y gdb
FROM base
