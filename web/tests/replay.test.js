// Browser and native peers run the same code: so they decide the same. A thousand short simulated runs, with deaths, takeovers,
// loss and a supervisor that goes away; what each peer was told in them is told once more to the WebAssembly build in Chromium,
// and every message, subscription and order to the player has to be the same, byte for byte, and every wake-up to the microsecond.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { World, program } from "./harness.js";

const top = fileURLToPath(new URL("../..", import.meta.url));
const RUNS = 1000;
/** Whatever peers can decide is decided so often in them, or more. */
const LEAST = 5;
/** Runs at a time: while the page does some again, the simulator makes the next. */
const BATCH = 25;

/** Gives the page its module, and scripts of the runs it asks for. */
async function serve() {
  const server = createServer((request, answer) => {
    const name = (request.url ?? "/").slice(1);
    const [from, to] = name.split("-");
    if (!name) {
      answer.setHeader("content-type", "text/html");
      answer.end("<!doctype html><title>replay</title>");
    } else if (to) {
      const simulator = spawn(program("testbed"), ["scenarios", "--from", from ?? "", "--to", to], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      simulator.stdout.pipe(answer, { end: false });
      answer.once("close", () => simulator.kill()); // a page that found a difference wants no more
      simulator.once("close", (code) => (code === 0 ? answer.end() : answer.destroy()));
    } else {
      answer.setHeader("content-type", name.endsWith(".js") ? "text/javascript" : "application/wasm");
      createReadStream(`${top}target/wasm/replay/${name}`).on("error", () => answer.destroy()).pipe(answer);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  return server;
}

/**
 * Does runs again, in the page; gives the first difference, and how often peers did what.
 * @param {{ runs: number, batch: number }} how_many
 */
async function replay({ runs, batch }) {
  const module = "/replay.js";
  const { default: load, Replay } = await import(module);
  await load("/replay_bg.wasm");
  const replay = new Replay();
  const scripts = async (/** @type {number} */ from) => {
    const answer = await fetch(`/${from}-${Math.min(from + batch - 1, runs)}`);
    return new Uint8Array(await answer.arrayBuffer());
  };
  let next = scripts(1);
  for (let from = 1; from <= runs; from += batch) {
    const bytes = await next;
    if (from + batch <= runs) next = scripts(from + batch);
    const found = replay.perform(bytes);
    if (found) {
      const { seed, peer, step, here } = found;
      return { difference: { seed: `${seed}`, peer: `${peer}`, step: `${step}`, here: `${here}` }, counts: "" };
    }
  }
  return { difference: null, counts: /** @type {string} */ (replay.counts()) };
}

test("a thousand simulated runs go the same way in Chromium", async () => {
  execFileSync("tools/web.sh", ["--example", "replay"], { cwd: top, stdio: ["ignore", "inherit", "inherit"] });
  const server = await serve();
  try {
    await World.run(async (world) => {
      const page = await (await world.browser()).newPage();
      const address = server.address();
      assert.ok(typeof address === "object" && address);
      await page.goto(`http://127.0.0.1:${address.port}/`);
      const { difference, counts } = await page.evaluate(replay, { runs: RUNS, batch: BATCH });
      if (difference) assert.fail(await inWords(difference));
      // Runs in which nothing happens would all be the same.
      for (const line of counts.split("\n")) {
        const [what, count] = line.split(" ");
        assert.ok(Number(count) >= LEAST, `only ${count} ${what} in ${RUNS} runs`);
      }
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

/** @param {{ seed: string, peer: string, step: string, here: string }} difference */
async function inWords({ seed, peer, step, here }) {
  const native = execFileSync(program("testbed"), ["scenarios", "--from", seed, "--peer", peer, "--step", step], { encoding: "utf8" });
  return `seed ${seed}, peer ${peer}, step ${step}\n  in Chromium ${here}\n  natively    ${native.trim()}`;
}
