#!/bin/bash
# Feeds every parser with made-up input; what breaks one stays in fuzz/artifacts.
# usage: tools/fuzz.sh --runs INPUTS [TARGET…]
#        tools/fuzz.sh --seconds SECONDS [TARGET…]
#        tools/fuzz.sh --build                    only compiles them
#        tools/fuzz.sh --keep BYTES [TARGET…]     add what was found and is no longer than this to the seeds
set -euo pipefail
cd "$(dirname "$0")/.."
until= keep= number=${2-}
case ${1-} in
  --runs) until=-runs=$number ;;
  --seconds) until=-max_total_time=$number ;;
  --keep) keep=$number ;;
  --build) number=0 ;;
esac
if ! [[ $number =~ ^[0-9]+$ ]]; then
  echo "usage: tools/fuzz.sh --runs INPUTS | --seconds SECONDS | --keep BYTES [TARGET…]; or --build" >&2
  exit 2
fi
fuzz=protocol/fuzz
host=$(tools/with-rust rustc -vV | sed -n 's/^host: //p')

# What `cargo fuzz` does, without a nightly compiler: tell libFuzzer which branches an input took.
# No address sanitizer: there is no unsafe code in `protocol`.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
  -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares" \
  tools/with-rust cargo build --release --bins --manifest-path $fuzz/Cargo.toml \
  --target "$host" --target-dir target/fuzz

[ "$1" != --build ] || exit 0
shift 2

# What broke it, and the input itself: a build machine's files are gone before anybody can look.
broken() {
  grep --after-context=1 'panicked at' "$2" || tail -n 40 "$2"
  local input
  input=$(sed -n 's/.*Test unit written to //p' "$2")
  echo "fuzz: $1 is broken by this input, which is in $input:"
  base64 --wrap=0 "$input"
  echo
}

targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cd $fuzz/fuzz_targets && basename -s .rs -- *.rs)

one() { # TARGET
  local target=$1 corpus=target/fuzz/corpus/$1 log=target/fuzz/$1.log began=$SECONDS seeds=()
  mkdir -p "$corpus" $fuzz/artifacts
  [ ! -d "$fuzz/seeds/$target" ] || seeds=("$fuzz/seeds/$target")
  if [ -n "$keep" ]; then
    mkdir -p "$fuzz/seeds/$target"
    "target/fuzz/$host/release/$target" -merge=1 -max_len="$keep" "$fuzz/seeds/$target" "$corpus" 2>"$log"
    echo "fuzz: $target has $(find "$fuzz/seeds/$target" -type f | wc -l) seeds"
    return
  fi
  "target/fuzz/$host/release/$target" "$until" -max_len=20000 -rss_limit_mb=1024 -timeout=5 \
    -artifact_prefix="$fuzz/artifacts/$target-" -print_final_stats=1 "$corpus" "${seeds[@]}" 2>"$log" ||
    { broken "$target" "$log" >&2; exit 255; } # and no other begins
  echo "fuzz: $target took $(sed -n 's/^stat::number_of_executed_units: //p' "$log") inputs in $((SECONDS - began)) s"
}
export -f one broken
export fuzz host until keep
printf '%s\0' "${targets[@]}" | xargs --null --max-args=1 --max-procs="$(nproc)" bash -euo pipefail -c 'one "$1"' one
