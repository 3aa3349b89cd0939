FROM python:3.12-slim AS app
COPY <<requirements.txt <<constraints.txt /deps/
numpy>=2
pandas
requirements.txt
numpy<3
FROM ubuntu
constraints.txt
RUN pip install -r /deps/requirements.txt -c /deps/constraints.txt
COPY --chmod=755 <<-"EOF" /usr/local/bin/entry
	#!/bin/sh
	FROM=$1
	exec "$@"
	EOF
ADD <<EOF /etc/motd
	Welcome to ${HOSTNAME}
EOF
ENTRYPOINT ["entry"]

FROM app AS last
COPY tail.txt /
