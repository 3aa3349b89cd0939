FROM python:3.12 AS trigger
ENV WHERE=/srv
ONBUILD ARG REQUIREMENTS=requirements.txt
ONBUILD COPY ${REQUIREMENTS} ${WHERE}/
ONBUILD RUN pip install -r ${WHERE}/${REQUIREMENTS}
ONBUILD COPY . ${WHERE}
ONBUILD USER nobody
FROM trigger AS service
CMD ["python", "-m", "service"]
FROM service AS below
RUN true
