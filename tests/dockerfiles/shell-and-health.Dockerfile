FROM debian:12 AS base
SHELL ["/bin/bash", "-euxo", "pipefail", "-c"]
RUN curl https://x.invalid | tar xz
HEALTHCHECK --interval=5m --timeout=3s CMD curl -f http://localhost/ || exit 1
STOPSIGNAL SIGINT
VOLUME ["/data", "/models"]
VOLUME /more /volumes
EXPOSE 80 443/tcp 9000-9010/udp
MAINTAINER somebody <s@example.org>
USER 1000:1000
FROM base
HEALTHCHECK NONE
SHELL ["conda", "run", "-n", "env", "/bin/bash", "-c"]
RUN python -c 'import numpy'
ENTRYPOINT ["conda", "run", "--no-capture-output", "-n", "env"]
