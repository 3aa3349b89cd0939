FROM scratch AS data
COPY . /
COPY --chown=1:1 a b c/ /d/
COPY ["with space", "and \"quote\"", "/e/"]
COPY --link --chmod=644 f* g?.txt [h-k].csv /
ADD archive.tar.gz /unpacked/
ADD --link x y /
ADD https://data.invalid/set.csv https://data.invalid/other.csv /remote/
FROM data
COPY --from=data ["/d/a", "/z z"]
