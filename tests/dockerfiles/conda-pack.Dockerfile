FROM continuumio/miniconda3:24.9.2-0 AS build

COPY environment.yml .
RUN conda env create -f environment.yml
RUN conda install -c conda-forge conda-pack

# conda-pack makes a standalone environment in /venv:
RUN conda-pack -n example -o /tmp/env.tar && \
  mkdir /venv && cd /venv && tar xf /tmp/env.tar && \
  rm /tmp/env.tar
RUN /venv/bin/conda-unpack

FROM debian:bookworm-slim AS runtime
COPY --from=build /venv /venv
SHELL ["/bin/bash", "-c"]
ENTRYPOINT source /venv/bin/activate && \
           python -c "import numpy; print('success!')"
