FROM alpine:3.20 AS parent
ONBUILD RUN <<EOF
echo a child
FROM nothing
EOF
RUN echo parent
FROM parent AS child
RUN true
