FROM alpine:3.20
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://mirror.invalid/linux.tar.xz /
ADD --chown=1000 https://data.invalid/model.bin?x=1#frag /models/
ADD --keep-git-dir=true https://git.invalid/acme/repo.git#v0.10.1 /src
ADD git@git.invalid:acme/private.git /private
ARG SHA=24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d
ADD --checksum=sha256:${SHA} https://mirror.invalid/$SHA.tar /
