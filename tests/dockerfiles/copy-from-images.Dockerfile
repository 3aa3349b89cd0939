FROM debian:bookworm-slim
COPY --from=busybox:1.37-musl /bin/busybox /bin/
COPY --from=registry.example.org:5000/team/tool@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef /t /
COPY --from=golang --chown=1000:1000 /usr/local/go /usr/local/go
COPY --link --chmod=0755 --from=ghcr.io/acme/entry:v1 /entry /
COPY --from=localhost/mine /a /b
