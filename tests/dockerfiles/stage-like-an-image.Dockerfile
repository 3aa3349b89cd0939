FROM node:22 AS node
RUN npm i
FROM docker.io/library/python:3.12 AS python
COPY --from=node /usr/local /usr/local
FROM python
RUN last
