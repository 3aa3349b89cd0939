# größe, 日本語, 🐍
ARG GRÖßE=12
FROM debian:${GRÖßE} AS base
ENV NAME="Ærøskøbing" 名=値
LABEL who="José 🐍" übung=${NAME}
COPY größe/日本語.csv "/daten/${名}/"
RUN echo 'naïve'
FROM base
COPY --from=base /daten /données
