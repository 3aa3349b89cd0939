# syntax=docker/dockerfile:1
ARG R_VERSION=4.4.2
ARG NCPUS=-1
FROM rocker/r-ver:${R_VERSION} AS ver
FROM ver AS rstudio
RUN /rocker_scripts/install_rstudio.sh
FROM rstudio AS tidyverse
ARG NCPUS
RUN NCPUS=$NCPUS /rocker_scripts/install_tidyverse.sh
FROM tidyverse AS verse
ENV CTAN_REPO="https://mirror.example.org/tlnet/2024/10/30" \
    PATH="$PATH:/usr/local/texlive/bin/linux"
RUN /rocker_scripts/install_verse.sh
FROM verse AS geospatial
RUN /rocker_scripts/install_geospatial.sh
FROM ver AS shiny
ENV SHINY_SERVER_VERSION=latest
RUN /rocker_scripts/install_shiny_server.sh
EXPOSE 3838
FROM geospatial
