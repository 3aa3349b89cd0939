FROM debian:12 AS e
ENV OLD the rest of the line = its value
ENV A=1 B="two words" C=three\ words D='single $A'
ENV E=${A}0 F="${B}" G=$D
ENV PATH /opt/bin:$PATH
FROM e
COPY f$E$A /d/
LABEL "com.example.vendor"="ACME" version=$A description="This text \
that spans lines"
