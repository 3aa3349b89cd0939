FROM rocker/r-ver:4.4.2
LABEL org.opencontainers.image.licenses="GPL-2.0-or-later" \
      org.opencontainers.image.source="https://git.example.org/rocker/versioned" \
      org.opencontainers.image.vendor="Rocker Project" \
      org.opencontainers.image.authors="Carl <c@example.org>"

ENV S6_VERSION="v2.1.0.2"
ENV RSTUDIO_VERSION="2024.12.0+467"
ENV DEFAULT_USER="rstudio"

RUN /rocker_scripts/install_rstudio.sh
EXPOSE 8787
CMD ["/init"]

RUN /rocker_scripts/install_pandoc.sh
RUN /rocker_scripts/install_quarto.sh
COPY --link scripts/extra/*.sh /rocker_scripts/extra/
