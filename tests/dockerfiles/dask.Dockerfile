ARG python=3.11
ARG release
FROM condaforge/miniforge3:24.9.2-0
ARG python
ARG release
SHELL ["/bin/bash", "-c"]
ENV PATH /opt/conda/bin:$PATH
ENV PYTHON_VERSION=${python}
RUN mamba install -y \
    "mamba>=0.27.0" \
    python=${PYTHON_VERSION} \
    dask${release:+=${release}} \
    && mamba clean -tipy \
    && find /opt/conda/ -type f,l -name '*.a' -delete
COPY prepare.sh /usr/bin/prepare.sh
ENTRYPOINT ["tini", "-g", "--", "/usr/bin/prepare.sh"]
