FROM maven:3.9-eclipse-temurin-17 AS jars
WORKDIR /build
COPY pom.xml .
RUN --mount=type=cache,target=/root/.m2 mvn -B dependency:go-offline
COPY src ./src
RUN --mount=type=cache,target=/root/.m2 mvn -B package -DskipTests

FROM apache/spark:3.5.3-scala2.12-java17-python3-ubuntu
USER root
ARG spark_uid=185
COPY --from=jars --chown=${spark_uid}:${spark_uid} /build/target/*.jar ${SPARK_HOME}/jars/
USER ${spark_uid}
