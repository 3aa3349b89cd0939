FROM rocker/shiny-verse:4.4
RUN install2.r --error --deps TRUE \
    bslib \
    DT \
    plotly \
 && rm -rf /tmp/downloaded_packages
RUN R -q -e 'install.packages(c("arrow", "duckdb"), repos = "https://p3m.example.org/cran/latest"); \
             if (!requireNamespace("arrow")) quit(status = 1)'
COPY ["app.R", "data files/", "/srv/shiny-server/app/"]
USER shiny
EXPOSE 3838/tcp
CMD ["/usr/bin/shiny-server"]
