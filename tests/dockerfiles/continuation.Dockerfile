FR\
OM debian:12 A\
S build
RUN echo a \
b \   
	c \

  d
ENV A=1 \
 B="x \
   y" \
 C=3
LABEL one=1 \
    two="two \
    lines"
FROM build AS last
RUN echo "ends in a backslash" \\
RUN x
