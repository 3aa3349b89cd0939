# comment before all
   # an indented one

FROM \
    # the image
    debian:12 \

    # an empty line above, and its name
    AS build
RUN echo a \
#not indented

  && echo b # this is no comment \
  && echo c

  # between instructions
RUN ["echo", "d"] # neither is this
FROM build
RUN e
