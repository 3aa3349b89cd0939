FROM rocker/r-ver:4.4 AS quarto
ARG QUARTO_VERSION="1.6.39"
RUN <<-EOF
	set -e
	curl -LO "https://quarto.example.org/quarto-${QUARTO_VERSION}-linux-$(dpkg --print-architecture).deb"
	cat <<-NESTED > /etc/quarto
		FROM inside
	NESTED
	EOF
FROM quarto AS render
COPY --link *.qmd _quarto.yml ./
RUN quarto render
FROM scratch AS html
COPY --from=render --link /project/_site /
