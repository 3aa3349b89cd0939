ARG REGISTRY=quay.io
ARG OWNER=jupyter
ARG TAG=latest
ARG BASE_IMAGE=${REGISTRY}/${OWNER}/scipy-notebook:${TAG}
FROM ${BASE_IMAGE}

ARG openjdk_version="17"
USER root
RUN apt-get update --yes && \
    apt-get install --yes --no-install-recommends \
    "openjdk-${openjdk_version}-jre-headless" \
    ca-certificates-java  && \
    apt-get clean && rm -rf /var/lib/apt/lists/*

# If spark_version is not set, latest Spark will be installed
ARG spark_version
ARG hadoop_version="3"
# If scala_version is not set, Spark without Scala will be installed
ARG scala_version
ARG spark_download_url="https://dlcdn.example.org/spark/"

ENV SPARK_HOME=/usr/local/spark
ENV PATH="${PATH}:${SPARK_HOME}/bin"
ENV SPARK_OPTS="--driver-java-options=-Xms1024M --driver-java-options=-Xmx4096M --driver-java-options=-Dlog4j.logLevel=info"

COPY setup_spark.py /opt/setup-scripts/
RUN /opt/setup-scripts/setup_spark.py \
    --spark-version="${spark_version}" \
    --hadoop-version="${hadoop_version}" \
    --scala-version="${scala_version}" \
    --spark-download-url="${spark_download_url}"

COPY ipython_kernel_config.py "/etc/ipython/"
RUN fix-permissions "/etc/ipython/"
USER ${NB_UID}
RUN mamba install --yes 'grpcio' 'grpcio-status' 'pandas=2.2.2' 'pyarrow' && \
    mamba clean --all -f -y
WORKDIR "${HOME}"
EXPOSE 4040
