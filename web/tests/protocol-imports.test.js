// `protocol` decides and does nothing: compiled for the browser, it asks nothing of its host. No
// clock, no random numbers, no socket, not even wasm-bindgen.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const top = fileURLToPath(new URL("../..", import.meta.url));

test("protocol as WebAssembly imports nothing", () => {
  // All of the crate, also what nobody calls: else the linker would drop what is to be looked at.
  const built = execFileSync("tools/web.sh", ["--whole", "protocol"], {
    cwd: top,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  const bytes = readFileSync(top + built.trim().split("\n").at(-1));
  assert.ok(bytes.length > 500_000, `all of protocol in ${bytes.length} bytes?`);
  assert.deepEqual(WebAssembly.Module.imports(new WebAssembly.Module(bytes)), []);
});
