FROM python:3.12-slim
LABEL org.opencontainers.image.title=mlflow \
      org.opencontainers.image.description="Tracking server, \"as is\""
ARG MLFLOW_VERSION=2.18.0
ENV MLFLOW_VERSION=${MLFLOW_VERSION} \
    BACKEND_URI=sqlite:////data/mlflow.db
RUN pip install --no-cache-dir "mlflow==${MLFLOW_VERSION}" psycopg2-binary boto3
EXPOSE ${PORT:-5000}
CMD mlflow server \
    --backend-store-uri ${BACKEND_URI} \
    --host 0.0.0.0
