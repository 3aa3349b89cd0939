ARG A=1 B=2 C
ARG D=$A$B E="${C:-three}"
FROM img:$D-$E
ARG A B C=c \
    # this one is for the tests
    F
ENV X=$A Y=${B}
RUN echo $F
