#!/usr/bin/env bash
# Times what a developer waits for: a clean release build of everything without a compiler cache, and one op edited
# with its tests rerun. The bars stand in docs/results.md.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/build_time.sh [OP]

Builds into build-time/ from nothing, then touches src/ops/OP.cc (default: rms_norm), rebuilds the op tests and runs those
that name the op. Prints both times, and the ten slowest translation units.

Example: scripts/build_time.sh rope
TEXT
}
case "${1:-}" in --help | -h) usage; exit 0 ;; esac
op=${1:-rms_norm}
cd "$(dirname "$0")/.."
source=src/ops/$op.cc
[ -f "$source" ] || { echo "build_time.sh: $source does not exist" >&2; exit 1; }

rm -rf build-time
cmake -S . -B build-time -G Ninja -DCMAKE_BUILD_TYPE=Release -DHOIST_USE_CCACHE=OFF >/dev/null
echo "load before: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) processors"
start=$(date +%s.%N)
ninja -C build-time --quiet
end=$(date +%s.%N)
echo "clean release build: $(echo "$end $start" | awk '{printf "%.1f", $1 - $2}') s"

# The source keeps its time stamp afterwards, so that other build folders do not notice.
stamp=$(mktemp)
touch -r "$source" "$stamp"
trap 'touch -r "$stamp" "$source"; rm -f "$stamp"' EXIT
touch "$source"
start=$(date +%s.%N)
ninja -C build-time --quiet ops_test
(cd build-time && ./bin/ops_test --gtest_brief=1 --gtest_filter="*$op*")
end=$(date +%s.%N)
echo "$source edited, its tests rerun: $(echo "$end $start" | awk '{printf "%.1f", $1 - $2}') s"

echo "slowest units, seconds:"
awk '!/^#/ && $4 ~ /\.o$/ {printf "%7.1f %s\n", ($2 - $1) / 1000, $4}' build-time/.ninja_log | sort -rn | head -10
