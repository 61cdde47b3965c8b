#!/bin/bash
# Builds web/pkg: the crate `web`, and with it `protocol`, as WebAssembly behind an ES module.
# usage: tools/web.sh                 builds what has changed
#        tools/web.sh --has-target    tells whether cargo's own Rust can compile for the browser
#        tools/web.sh --whole CRATE   compiles all of a crate, used or not, and prints the file
#        tools/web.sh --example NAME  builds web/examples/NAME.rs, into target/wasm/NAME
set -euo pipefail
cd "$(dirname "$0")/.."
target=wasm32-unknown-unknown
out=target/wasm/$target/web

has_target() { # rustup's optional target; Debian's compiler comes without
  local libs
  libs=$(tools/with-rust rustc --print target-libdir --target $target)
  compgen -G "$libs/libcore-*.rlib" >/dev/null
}

compile() { # CARGO_ARGUMENTS… [-- RUSTC_ARGUMENTS…]
  local args=(rustc --target $target --target-dir target/wasm --profile web)
  if has_target; then
    tools/with-rust cargo "${args[@]}" "$@"
  else
    # Debian's compiler can, once it has built the standard library (an unstable flag of cargo).
    PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld \
      /usr/bin/cargo "${args[@]}" -Zbuild-std=core,alloc,std,panic_abort "$@"
  fi
}

case ${1-} in
  --has-target) has_target ;;
  --whole)
    # What it imports is asked, not how fast it is.
    compile --lib --crate-type cdylib,rlib --package "$2" -- -C opt-level=0 -C link-dead-code -C link-arg=--no-gc-sections
    echo "$out/${2//-/_}.wasm"
    ;;
  --example)
    compile --example "$2" --package web
    tools/with-rust cargo build --package web-bindgen
    target/debug/web-bindgen "$out/examples/$2.wasm" "target/wasm/$2"
    ;;
  *)
    # Two compilers, for the last step of the first is one thread's.
    tools/with-rust cargo build --quiet --package web-bindgen &
    compile --lib --crate-type cdylib,rlib --package web
    wait $!
    made=web/pkg/web_bg.wasm
    if [ $out/web.wasm -nt $made ] || [ target/debug/web-bindgen -nt $made ]; then
      target/debug/web-bindgen $out/web.wasm web/pkg
    fi
    ;;
esac
