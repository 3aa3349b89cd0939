FROM debian:12
ARG TOKEN_ID=token
RUN --mount=type=secret,id=netrc,target=/root/.netrc,required=true curl -n https://data.invalid
RUN --mount=type=secret,id=aws,target=/root/.aws/credentials,uid=0,mode=0400 \
    --mount=type=secret,target=/run/creds \
    --mount=type=secret,id=${TOKEN_ID} \
    --mount=type=ssh,id=deploy \
    fetch
