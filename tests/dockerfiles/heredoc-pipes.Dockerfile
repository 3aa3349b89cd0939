FROM debian:12 AS base
RUN cat <<A <<B > /both && wc -l /both
one
A
FROM two
B
RUN <<FILE1 cat > file1 && <<FILE2 cat > file2
I am
first
FILE1
I am
second
FILE2
RUN 3<<IN cat <&3
COPY --from=in / /
IN
RUN echo "<<NOT" '<<NOR' \<<THIS && true
FROM base
RUN cat <<"E"O'F' | tee /x
FROM z
EOF
