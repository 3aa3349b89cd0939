FROM python:3.12 AS Builder
RUN pip wheel .
FROM builder AS Test
RUN pytest
From python:3.12-slim as RunTime
copy --from=BUILDER /wheels /wheels
Run --mount=type=bind,from=Test,target=/t true
from runtime
COPY --from=rUnTiMe /a /b
