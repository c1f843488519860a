#!/usr/bin/env bash
# Brings a fresh Debian 12 to a built Hoist: installs the packages that are missing, configures, builds.
# ./start and ./test call it; what was done once is not done again.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/setup.sh [--full] [--no-packages]

Installs missing Debian packages (as root, or through sudo), configures build/ (CMake preset "release") and builds it.

  --full          also what ./test --full needs: Chromium with its driver, and a Python environment in build/venv
                  (torch, transformers, ...; pip's own settings, such as PIP_INDEX_URL, are obeyed)
  --no-packages   install nothing; for systems other than Debian, where you bring the libraries yourself

Example: scripts/setup.sh && build/bin/hoist --help
TEXT
}

full=no packages=yes
for argument in "$@"; do
  case "$argument" in
    --full) full=yes ;;
    --no-packages) packages=no ;;
    --help | -h) usage; exit 0 ;;
    *) echo "setup.sh: unknown argument $argument" >&2; usage >&2; exit 2 ;;
  esac
done

cd "$(dirname "$0")/.."

needed=(g++ cmake ninja-build pkg-config ccache mold ca-certificates
  libboost-dev libboost-system-dev libsimdjson-dev nlohmann-json3-dev libcli11-dev libspdlog-dev libfmt-dev
  libtomlplusplus-dev prometheus-cpp-dev libpcre2-dev libutf8proc-dev libhwloc-dev libxxhash-dev libzstd-dev libcurl4-openssl-dev libssl-dev libgtest-dev)
if [ "$full" = yes ]; then
  needed+=(chromium chromium-driver python3-venv clang-format-14)
fi
# The versions the figures in docs/results.md were measured against; the others are only asked to be recent.
python_packages=(torch==2.13.0 transformers tokenizers safetensors openai regex)

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "setup.sh: this is not Debian. Install the equivalents of: ${needed[*]}" >&2
    echo "          then run scripts/setup.sh --no-packages; after that ./start and ./test work" >&2
    exit 1
  fi
  local missing=() package
  for package in "${needed[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "setup.sh: packages are missing, and there is neither root nor sudo to install them. As root, run:" >&2
      echo "          apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "Installing ${#missing[@]} packages: ${missing[*]}"
  # The lists may be old or absent; without them apt-get does not know the packages.
  "${as_root[@]}" apt-get update -qq
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Use-Pty=0 "${missing[@]}" >build/packages.log 2>&1; then
    tail -n 20 build/packages.log >&2
    echo "setup.sh: apt-get failed; its whole output is in build/packages.log" >&2
    exit 1
  fi
}

make_python_environment() {
  local stamp=build/venv/hoist-packages
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "${python_packages[*]}" ]; then return 0; fi
  echo "Preparing the Python environment build/venv: ${python_packages[*]}"
  python3 -m venv build/venv
  build/venv/bin/python -m pip install --quiet --disable-pip-version-check "${python_packages[@]}"
  echo "${python_packages[*]}" >"$stamp"
}

configure() {
  local options=()
  if [ "$full" = yes ] && ! grep -qs '^HOIST_FULL_TESTS:BOOL=ON' build/CMakeCache.txt; then
    options=(-DHOIST_FULL_TESTS=ON)
  elif [ -f build/build.ninja ]; then
    return 0 # ninja itself configures anew when a CMakeLists.txt has changed
  fi
  echo "Configuring build/"
  if ! cmake --preset release "${options[@]}" >build/configure.log 2>&1; then
    cat build/configure.log >&2
    exit 1
  fi
}

mkdir -p build
[ "$packages" = no ] || install_packages
[ "$full" = no ] || make_python_environment
configure
ninja -C build
