	# tab, then comment
ARG	V=12	W=13
FROM	debian:$V	AS	base
	RUN	echo	a	\
		&&	echo	b
COPY	--chown=1:1	a	b	/c/
FROM	base
COPY	--from=base	/a	/b
