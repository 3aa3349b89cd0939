FROM r-base:4.4.2 AS base
WORKDIR /project
RUN mkdir -p renv/.cache
COPY renv.lock renv.lock
COPY .Rprofile .Rprofile
COPY renv/activate.R renv/settings.json renv/

# change default location of cache to project folder
ENV RENV_PATHS_CACHE=renv/.cache
RUN R -e "renv::restore()"

FROM r-base:4.4.2
COPY --from=base /project .
COPY analysis.[qR]md report?.R ./
CMD R -e 'rmarkdown::render("analysis.Rmd")'
