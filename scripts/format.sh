#!/usr/bin/env bash
# Formats every C++ file of the repository by .clang-format, or checks that it is.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/format.sh [--check | --fix]

  --check   names each file that clang-format would change, and fails if there is one (default)
  --fix     rewrites them

Exits 77, which ctest reads as "skipped", when clang-format is not installed.
Example: scripts/format.sh --fix
TEXT
}

mode=--check
case "${1:---check}" in
  --check | --fix) mode=${1:---check} ;;
  --help | -h) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
# One version, so that two machines do not undo each other's work; Debian 12 has 14.
formatter=$(command -v clang-format-14 || command -v clang-format || true)
if [ -z "$formatter" ]; then
  echo "clang-format is not installed (apt-get install clang-format-14); nothing was checked"
  exit 77
fi
if ! "$formatter" --version | grep -q 'version 14\.'; then
  echo "clang-format 14 is the project's version, $("$formatter" --version | grep -o 'version [0-9.]*') is installed; nothing was checked"
  exit 77
fi

mapfile -d '' files < <(find src tests \( -name '*.h' -o -name '*.inc' -o -name '*.cc' -o -name '*.cu' \) -print0 | sort -z)
[ ${#files[@]} -gt 0 ] || exit 0
if [ "$mode" = --fix ]; then
  "$formatter" -i "${files[@]}"
  exit 0
fi
bad=$("$formatter" --dry-run -Werror "${files[@]}" 2>&1 | sed -n 's/^\([^: ]*\):[0-9]*:[0-9]*: error: code should be.*/\1/p' | sort -u || true)
if [ -n "$bad" ]; then
  printf 'Not formatted (scripts/format.sh --fix mends it):\n%s\n' "$bad"
  exit 1
fi
echo "${#files[@]} files are formatted"
