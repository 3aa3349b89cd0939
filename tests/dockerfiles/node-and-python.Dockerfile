FROM node:22-alpine AS frontend
WORKDIR /ui
COPY ui/package.json ui/package-lock.json ./
RUN npm ci
COPY ui .
RUN npm run build

FROM python:3.12-slim AS backend
RUN pip install --no-cache-dir gunicorn
COPY api /api

FROM backend AS test
COPY tests /tests
RUN pytest /tests

FROM backend
COPY --from=frontend /ui/dist /api/static
CMD gunicorn -b :$PORT api:app
