FROM python:3.12 AS parent
ONBUILD RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt
RUN echo parent
FROM parent AS child
RUN echo child
