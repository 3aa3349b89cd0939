# Ubuntu with a user, conda and the notebook server: what the whole family stands on.
ARG ROOT_IMAGE=ubuntu:24.04

FROM $ROOT_IMAGE

LABEL maintainer="Data Platform <data@example.org>"
ARG NB_USER="jovyan"
ARG NB_UID="1000"
ARG NB_GID="100"

# Fix: https://example.org/wiki/DL4006
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

USER root

ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update --yes && \
    # - `apt-get upgrade` is run to patch known vulnerabilities in system packages
    apt-get upgrade --yes && \
    apt-get install --yes --no-install-recommends \
    bzip2 \
    ca-certificates \
    locales \
    # - `netbase` provides /etc/{protocols,rpc,services}
    netbase \
    sudo \
    # - `tini` is the entrypoint
    tini \
    wget && \
    apt-get clean && rm -rf /var/lib/apt/lists/* && \
    echo "en_US.UTF-8 UTF-8" > /etc/locale.gen && \
    locale-gen

ENV CONDA_DIR=/opt/conda \
    SHELL=/bin/bash \
    NB_USER="${NB_USER}" \
    NB_UID=${NB_UID} \
    NB_GID=${NB_GID} \
    LC_ALL=C.UTF-8 \
    LANG=C.UTF-8
ENV PATH="${CONDA_DIR}/bin:${PATH}" \
    HOME="/home/${NB_USER}"

COPY fix-permissions /usr/local/bin/fix-permissions
RUN chmod a+rx /usr/local/bin/fix-permissions

USER ${NB_UID}
ARG PYTHON_VERSION=3.12
WORKDIR /tmp

COPY --chown="${NB_UID}:${NB_GID}" initial-condarc "${CONDA_DIR}/.condarc"
RUN set -x && \
    arch=$(uname -m) && \
    if [ "${arch}" = "x86_64" ]; then \
        arch="64"; \
    fi && \
    wget --progress=dot:giga -O - \
        "https://micro.example.org/api/micromamba/linux-${arch}/latest" | tar -xvj bin/micromamba && \
    PYTHON_SPECIFIER="python=${PYTHON_VERSION}" && \
    if [[ "${PYTHON_VERSION}" == "default" ]]; then PYTHON_SPECIFIER="python"; fi && \
    ./bin/micromamba install --root-prefix="${CONDA_DIR}" --yes "${PYTHON_SPECIFIER}" 'mamba' && \
    rm -rf /tmp/bin/ && \
    fix-permissions "${CONDA_DIR}"

ENTRYPOINT ["tini", "-g", "--", "start.sh"]
COPY run-hooks.sh start.sh /usr/local/bin/
USER root
RUN mkdir /usr/local/bin/start-notebook.d && \
    mkdir /usr/local/bin/before-notebook.d
COPY 10activate-conda-env.sh /usr/local/bin/before-notebook.d/
USER ${NB_UID}
WORKDIR "${HOME}"
