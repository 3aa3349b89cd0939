ARG N=0
FROM img-$N:1 AS s0
RUN 0
FROM s0 AS s1
RUN 1
FROM s1 AS s2
COPY --from=s0 /0 /0
FROM img:2 AS s3
COPY --from=s2 /2 /2
FROM s3 AS s4
RUN --mount=from=s1,target=/1 true
FROM s4 AS s5
COPY --from=img:3 / /3
FROM img:4 AS s6
RUN 6
FROM s5 AS s7
COPY --from=s6 /6 /6
FROM s7 AS s8
FROM s8
