#!/bin/sh
# Runs all fuzz targets, or the named ones, for SECONDS each:  run.sh SECONDS [TARGET...]
#
# The layout is that of cargo-fuzz, but this script needs only a stable toolchain, because coverage
# needs only stable flags. SANITIZER=address adds AddressSanitizer, which needs an unstable flag. New
# inputs go to the target directory; failing inputs go to artifacts/TARGET/.
set -eu

seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
[ $# -gt 0 ] || set -- frame command reader replay changed

cd "$(dirname "$0")"
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-$PWD/target}
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
if [ "${SANITIZER:-none}" = address ]; then
  export RUSTC_BOOTSTRAP=1
  flags="$flags -Zsanitizer=address"
fi

# With an explicit target, build scripts and procedural macros are not instrumented.
RUSTFLAGS=$(echo $flags) cargo build --release --target "$host" --target-dir "$target"

status=0
for name; do
  mkdir -p "$target/corpus/$name" "artifacts/$name"
  echo "== $name: $seconds s"
  "$target/$host/release/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 \
    -print_final_stats=1 -artifact_prefix="artifacts/$name/" \
    "$target/corpus/$name" "corpus/$name" 2>"$target/$name.log" || status=1
  grep -E '^stat::(number_of_executed_units|peak_rss_mb)|SUMMARY|panicked|DONE' "$target/$name.log" || true
  rmdir "artifacts/$name" 2>/dev/null || tail -30 "$target/$name.log"
done
rmdir artifacts 2>/dev/null || true
exit $status
