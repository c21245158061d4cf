# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts: what Sluice needs from Debian, and how it is installed and built.
# Sourced, not run.

# What building and running takes.
RUN_PACKAGES=(gcc cmake ninja-build pkg-config libc6-dev ca-certificates curl
  libmicrohttpd-dev libcurl4-openssl-dev libjansson-dev libmbedtls-dev libsqlite3-dev
  libpcre2-dev libutf8proc-dev libhiredis-dev libgnutls28-dev)
# What the tests take on top: Check, Node.js for the clients, peers, the other architecture.
# PyTorch trains the small model of `sluice train`'s test; with OpenBLAS, ten times faster.
TEST_PACKAGES=(check git python3 python3-torch libopenblas0-pthread redis-server openssl binutils
  gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)

say() { printf '%s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "this step needs root: $*"
    return 1
  fi
}

# install_packages NAME...: installs those that are missing; quiet and fast when none is.
install_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  say "installing: ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# install_node: a Node.js with npm; a newer one that is there already will do.
install_node() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    install_packages nodejs npm
  fi
}

# build PRESET TARGET...: configures once and builds; the output is shown only when it fails.
build() {
  local preset=$1 log
  shift
  log=$(mktemp)
  say "building ($preset): $*"
  if ! { cmake --preset "$preset" && cmake --build "build/$preset" --target "$@"; } >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}
