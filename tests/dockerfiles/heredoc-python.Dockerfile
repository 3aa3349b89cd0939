FROM python:3.12
ARG MODEL=bert
RUN python3 <<'PY'
import os

COPY = {"--from": "elsewhere:1"}
FROM = f"{os.environ.get('MODEL')}"
print(FROM, COPY, """
EOF
""")
PY
RUN --mount=type=cache,target=/root/.cache/huggingface --network=default python3 - "$MODEL" <<PY
import sys
print(sys.argv)
PY
