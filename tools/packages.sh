#!/bin/bash
# Prints the packages that packages.txt lists for the given purposes, one a line.
# usage: tools/packages.sh PURPOSE…      (the names in [brackets] of packages.txt)
set -euo pipefail
cd "$(dirname "$0")/.."
for purpose in "$@"; do
  awk -v section="[$purpose]" '/^\[/ { inside = $1 == section; next } inside && $1 ~ /^[a-z]/ { print $1 }' packages.txt
done
