FROM debian:12
RUN ["/bin/bash", "-c", "echo \"$HOME\" && ls"]
RUN [ "a", "b" ]
RUN [ -d /x ] || mkdir /x
CMD ["python", "-m", "http.server"]
ENTRYPOINT [ "tini" ]
COPY [ "a", "b" ]
COPY [not json /x/
VOLUME [ "/v" ]
