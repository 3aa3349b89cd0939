ARG TAG="3.12" NAME='python'
ARG SPACED=a\ b
ARG QUOTED="say \"$TAG\""
FROM ${NAME}:"${TAG}" AS one
ARG TAG
ARG WORDS="two words"
RUN echo "$WORDS" ${SPACED} ${QUOTED}
FROM 'python':${TAG}-slim
COPY --from=one /a /b
