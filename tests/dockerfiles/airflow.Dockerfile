ARG AIRFLOW_VERSION=2.10.3
ARG PYTHON_BASE_IMAGE="python:3.12-slim-bookworm"
ARG AIRFLOW_UID="50000"
FROM scratch as scripts
COPY <<"EOF" /install_os_dependencies.sh
#!/usr/bin/env bash
set -euo pipefail
FROM_ENV=${1:-}
if [[ "${FROM_ENV}" == "dev" ]]; then
    echo "COPY --from=scripts"
fi
EOF
COPY <<"EOF" /entrypoint_prod.sh
#!/usr/bin/env bash
exec "airflow" "${@}"
EOF
FROM ${PYTHON_BASE_IMAGE} as airflow-build-image
ENV PYTHON_BASE_IMAGE=${PYTHON_BASE_IMAGE} LANG=C.UTF-8
ARG AIRFLOW_VERSION
ARG INSTALL_MYSQL_CLIENT="true"
COPY --from=scripts install_os_dependencies.sh /scripts/docker/
RUN --mount=type=cache,id=$PYTHON_BASE_IMAGE-$AIRFLOW_VERSION,target=/tmp/.cache/,uid=${AIRFLOW_UID:-1} \
    bash /scripts/docker/install_os_dependencies.sh dev ${INSTALL_MYSQL_CLIENT}
FROM ${PYTHON_BASE_IMAGE} as main
ARG AIRFLOW_UID
COPY --from=airflow-build-image --chown="${AIRFLOW_UID}:0" "/home/airflow/.local" "/home/airflow/.local"
COPY --from=scripts entrypoint_prod.sh /entrypoint
USER ${AIRFLOW_UID}
ENTRYPOINT ["/usr/bin/dumb-init", "--", "/entrypoint"]
