#!/bin/bash
# Runs all Rust tests, as `cargo test --workspace` does, several programs of them at a time: most wait for others most of
# the time. What each says comes in one piece when it is done, and the programs that failed are named at the end.
# usage: tools/test-rust.sh [NAME…]      of tests, as cargo takes them
set -euo pipefail
cd "$(dirname "$0")/.."
at_a_time=$(nproc)
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) + 1))} # in each

# Directory and program, a pair of lines for each. Cargo runs them there.
programs=$(tools/with-rust cargo test --workspace --no-run --message-format json-render-diagnostics |
  sed -n 's/.*"manifest_path":"\([^"]*\)\/Cargo.toml".*"profile":{[^}]*"test":true}.*"executable":"\([^"]*\)".*/\1\n\2/p')
[ -n "$programs" ] || { echo "test-rust: cargo names no test programs" >&2; exit 1; }
# The longest first: while it runs the others have their turn beside it.
programs=$(sed 'N;s/\n/\t/' <<<"$programs" | awk -F '\t' '{ print ($2 ~ /\/attackers-/ ? 0 : 1) "\t" $0 }' | sort --stable --key=1,1 | cut -f2- | tr '\t' '\n')

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
one() { # DIRECTORY PROGRAM WORD…
  local directory=$1 program=$2 name log status=0 began=$SECONDS
  shift 2
  name=$(basename "$directory")/$(basename "$program" | sed 's/-[0-9a-f]*$//')
  log=$logs/$(basename "$program")
  (cd "$directory" && "$program" "$@") >"$log" 2>&1 || status=$?
  { flock 9; echo "     Running $name ($((SECONDS - began)) s)"; cat "$log"; } 9>>"$logs/lock"
  [ "$status" = 0 ] || echo "$name" >>"$logs/failed"
}
export -f one
export logs
tr '\n' '\0' <<<"$programs" |
  xargs --null --max-args=2 --max-procs="$at_a_time" bash -c 'one "${@: -2}" "${@:1:$#-2}"' one "$@"
tools/with-rust cargo test --workspace --doc "$@"
if [ -s "$logs/failed" ]; then
  sort "$logs/failed" | sed 's/^/test-rust: failed: /' >&2
  exit 1
fi
echo "test-rust: $(($(wc -l <<<"$programs") / 2)) programs of tests, all well"
