// Runs all tests of the pages, one file at a time for each two cores: what plays must not wait for a processor.
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { pipeline } from "node:stream/promises";
import { run } from "node:test";
import { tap } from "node:test/reporters";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));
const files = readdirSync(folder).filter((name) => name.endsWith(".test.js")).sort();
const tests = run({ files: files.map((name) => folder + name), concurrency: Math.ceil(availableParallelism() / 2) });
tests.on("test:fail", () => (process.exitCode = 1));
await pipeline(tests, /** @type {any} */ (tap), process.stdout); // its types know no reporters in a pipeline
