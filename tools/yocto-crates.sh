#!/bin/bash
# Writes what Yocto is to download for the recipe, from Cargo.lock: as `bitbake -c update_crates ownstream-edge` does, but
# without bitbake, and of the workspace alone.
set -euo pipefail
cd "$(dirname "$0")/.."
awk '
  BEGIN { print "# Made of Cargo.lock by `make yocto-crates`.\n\n# nooelint: oelint.vars.inconspaces oelint.vars.notneededspace - the form of bitbake itself\nSRC_URI += \" \\" }
  function crate() {
    if (source ~ /crates\.io/) {
      print "    crate://crates.io/" name "/" version " \\"
      sums = sums "SRC_URI[" name "-" version ".sha256sum] = \"" sum "\"\n"
    }
    source = ""
  }
  { value = $3; gsub(/"/, "", value) }
  $1 == "[[package]]" { crate() }
  $1 == "name" { name = value }
  $1 == "version" { version = value }
  $1 == "source" { source = value }
  $1 == "checksum" { sum = value }
  END { crate(); printf "\"\n\n%s", sums }
' Cargo.lock >yocto/meta-ownstream/recipes-ownstream/ownstream-edge/ownstream-edge-crates.inc
