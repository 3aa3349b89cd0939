# escape=\
# syntax=docker/dockerfile:1.7
# An ordinary comment ends the directives.
# escape=`
FROM debian:12 AS a
RUN echo one \
    two
FROM a
RUN three
