#!/usr/bin/env bash
# Installs dsci into an environment of its own and puts the one program on PATH; what is missing is said as an error of
# the job. Nothing else of that environment is on PATH: a job's own python stays its own.
set -euo pipefail

# An annotation is one line, and what others wrote stays text in it.
# Source: https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
refuse() {
  local text=$1
  text=${text//'%'/'%25'} text=${text//$'\r'/'%0D'} text=${text//$'\n'/'%0A'}
  printf '::error title=dsci could not be set up::%s\n' "$text"
  exit 1
}

install() {
  "$DSCI_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    refuse "$DSCI_PYTHON is no Python 3.11 or newer: name one with the input python, or run actions/setup-python first"
  local place
  place=$(mktemp -d "$RUNNER_TEMP/dsci-XXXXXXXX")
  "$DSCI_PYTHON" -m venv "$place/venv" ||
    refuse "$DSCI_PYTHON cannot make a virtual environment: install its venv module (Debian: python3-venv)"
  "$place/venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check "$1" ||
    refuse "pip could not install $1: its own words are above"
  mkdir "$place/bin"
  ln -s ../venv/bin/dsci "$place/bin/dsci"
  printf '%s\n' "$place/bin" >>"$GITHUB_PATH"
  program=$place/bin/dsci
}

case $DSCI_INSTALL_FROM in
  path) install "$DSCI_ACTION/../.." ;;
  wheel)
    [[ $DSCI_WHEEL == *.whl && -f $DSCI_WHEEL ]] || refuse "the input wheel names no wheel that is there: '$DSCI_WHEEL'"
    install "$(realpath -- "$DSCI_WHEEL")"
    ;;
  installed)
    program=$(type -P dsci) || refuse "install-from: installed, and there is no dsci on PATH: install it, or take another choice"
    ;;
  *) refuse "install-from is path, wheel or installed, and not '$DSCI_INSTALL_FROM'" ;;
esac

version=$("$program" --version) || refuse "$program does not run: its own words are above"
printf '%s\n' "$version"
printf 'dsci-version=%s\ndsci-path=%s\n' "$version" "$program" >>"$GITHUB_OUTPUT"

case $DSCI_ENGINE in
  true)
    # `docker info` ends well without an engine.
    docker version --format 'Docker Engine {{.Server.Version}} on {{.Server.Os}}/{{.Server.Arch}}' ||
      refuse "no Docker Engine answers: dsci builds and tests with one; run it, or name it with DOCKER_HOST"
    docker buildx version || refuse "docker has no buildx, which dsci builds with: install docker-buildx-plugin, or run docker/setup-buildx-action first"
    ;;
  false) ;;
  *) refuse "engine is true or false, and not '$DSCI_ENGINE'" ;;
esac
