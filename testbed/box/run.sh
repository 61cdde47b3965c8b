#!/bin/bash
# Runs what needs machines of its own, one after another: testbed/box/test-*.sh. Each says in words what is wrong.
# usage: testbed/box/run.sh [NAME…]      as in `run.sh services packages`; without names all of them
set -uo pipefail
cd "$(dirname "$0")"
tests=("${@/%/.sh}")
tests=("${tests[@]/#/test-}")
[ $# -gt 0 ] || tests=(test-*.sh)
passed=0 failed=()
for test in "${tests[@]}"; do
  echo "== $test"
  began=$SECONDS
  if "./$test"; then
    passed=$((passed + 1))
    echo "== $test passed in $((SECONDS - began)) s"
  else
    failed+=("$test")
    echo "== $test FAILED after $((SECONDS - began)) s"
  fi
done
[ ${#failed[@]} -eq 0 ] || echo "failed: ${failed[*]}"
echo "$passed passed, ${#failed[@]} failed"
[ ${#failed[@]} -eq 0 ]
