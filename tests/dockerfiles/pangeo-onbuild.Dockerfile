FROM ubuntu:22.04 AS base
ENV CONDA_ENV=notebook \
    NB_USER=jovyan
ENV CONDA_DIR=/srv/conda
ENV NB_PYTHON_PREFIX=${CONDA_DIR}/envs/${CONDA_ENV}
RUN echo "Installing Miniforge..." && wget --quiet -O miniforge.sh https://conda.example.org/m.sh
WORKDIR ${HOME:-/home/jovyan}

FROM base AS onbuild-base
ONBUILD ARG EXTRA_PIP="numpy"
ONBUILD COPY --chown=${NB_USER}:${NB_USER} . ${HOME}/.binder/
ONBUILD RUN echo "Checking for 'conda-lock.yml' or 'environment.yml'..." \
        ; cd ${HOME}/.binder \
        ; if test -f "conda-lock.yml" ; then \
          conda-lock install --name ${CONDA_ENV} conda-lock.yml \
        ; fi
ONBUILD RUN pip install ${EXTRA_PIP}

FROM onbuild-base AS pangeo-notebook
ARG PANGEO_VERSION
LABEL version=${PANGEO_VERSION:-dev}
