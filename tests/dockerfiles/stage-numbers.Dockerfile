FROM golang:1.23
RUN go build -o /a
FROM rust:1.83
RUN cargo build
FROM debian:12
COPY --from=0 /a /usr/bin/
COPY --from=1 /b /usr/bin/
FROM debian:12-slim
COPY --from=2 /usr/bin /usr/bin
COPY --from=+1 /licences /licences
