#!/usr/bin/env bash
# Runs every fuzz harness for a while under AddressSanitizer and UndefinedBehaviorSanitizer. See --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/fuzz.sh [--seconds N] [name ...]

Builds the harnesses of tests/fuzz (clang, preset "fuzz", in build-fuzz/) and runs each for N seconds (default 60),
starting from tests/fuzz/corpus/<name>/. A crash, a leak, or an input that takes over one second (or what the harness
says in a line "// Timeout: N") fails the run; the input is kept in
build-fuzz/findings/. What a run learns is kept in build-fuzz/corpus/.

Example: scripts/fuzz.sh --seconds 10 safetensors config
TEXT
}

seconds=60
names=()
while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h) usage; exit 0 ;;
    --seconds) seconds=${2:?--seconds needs a number}; shift 2 ;;
    --seconds=*) seconds=${1#*=}; shift ;;
    -*) echo "fuzz.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
    *) names+=("${1%_fuzz}"); shift ;;
  esac
done
case "$seconds" in
  '' | *[!0-9]*) echo "fuzz.sh: --seconds: found \"$seconds\", expected a whole number" >&2; exit 2 ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
build=${HOIST_FUZZ_BUILD:-$root/build-fuzz}
if [ ${#names[@]} -eq 0 ]; then
  for source in "$root"/tests/fuzz/*_fuzz.cc; do
    name=$(basename "$source" _fuzz.cc)
    names+=("$name")
  done
fi

(cd "$root" && cmake --preset fuzz -B "$build" > /dev/null)
cmake --build "$build" --target "${names[@]/%/_fuzz}"

mkdir -p "$build/findings"
failed=0
printf '\n%-14s %12s %10s %8s %9s  %s\n' harness inputs inputs/s covered 'peak MB' result
for name in "${names[@]}"; do
  learned=$build/corpus/$name
  log=$build/findings/$name.log
  mkdir -p "$learned"
  limit=$(sed -n 's|^// Timeout: ||p' "$root/tests/fuzz/${name}_fuzz.cc")
  limit=${limit:-1}
  arguments=(-timeout="$limit" -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/findings/$name-")
  [ -f "$root/tests/fuzz/$name.dict" ] && arguments+=(-dict="$root/tests/fuzz/$name.dict")
  seeds=()
  [ -d "$root/tests/fuzz/corpus/$name" ] && seeds=("$root/tests/fuzz/corpus/$name")
  result=ok
  end=$((SECONDS + seconds))
  while :; do
    left=$((end - SECONDS))
    [ "$left" -gt 0 ] || left=1
    "$build/bin/${name}_fuzz" "${arguments[@]}" -max_total_time="$left" "$learned" "${seeds[@]}" > "$log" 2>&1 && break
    # Time is the wall's: on a busy machine an innocent input may seem slow. It gets a second try alone.
    input=$(sed -n 's/^artifact_prefix=.*Test unit written to //p' "$log" | tail -1)
    case "$input" in
      *-timeout-*)
        if "$build/bin/${name}_fuzz" -timeout="$limit" "$input" > "$log.again" 2>&1; then
          rm -f "$input"
          [ "$SECONDS" -lt "$end" ] && continue
          break
        fi ;;
    esac
    result=FAILED
    break
  done
  stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -1; }
  covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
  printf '%-14s %12s %10s %8s %9s  %s\n' "$name" "$(stat number_of_executed_units)" \
    "$(stat average_exec_per_sec)" "${covered:--}" "$(stat peak_rss_mb)" "$result"
  if [ "$result" != ok ]; then
    failed=1
    grep -E 'ERROR|SUMMARY|HOIST_CHECK|Test unit written|runtime error' "$log" | sed 's/^/    /' || true
  fi
done
exit $failed
