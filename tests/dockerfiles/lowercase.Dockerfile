# syntax = docker/dockerfile:1
arg v=12
from debian:$v as b
run echo "from nowhere"
env x=y
workdir /w
from b
copy --from=b /a /$x
label a=b
