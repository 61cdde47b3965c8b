// What `make demo` starts once everything is built: the script itself, as a stranger meets it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { World, clockAdvances, freePort, plays, until } from "./harness.js";

const TOP = fileURLToPath(new URL("../..", import.meta.url));

/**
 * Starts the script; what it printed so far, and how it ended.
 * @param {Record<string, string>} variables
 */
function demo(variables) {
  const env = { ...process.env, PROGRAMS: `target/${process.env.PROFILE ?? "debug"}`, NO_COLOR: "1", ...variables };
  const child = spawn(join(TOP, "tools/demo.sh"), { env, stdio: ["ignore", "pipe", "pipe"] });
  const said = { text: "" };
  child.stdout.on("data", (data) => (said.text += data));
  child.stderr.on("data", (data) => (said.text += data));
  /** @type {Promise<number | null>} */
  const ended = new Promise((resolve) => child.once("close", resolve));
  process.once("exit", () => child.kill("SIGKILL"));
  return { child, said, ended };
}

/** The folders that demos have under way. */
function folders() {
  return readdirSync(join(TOP, "target")).filter((name) => name.startsWith("demo."));
}

test("the demo prints an address at which the test picture plays, and Ctrl-C ends all three and leaves nothing", async () => {
  await World.run(async (world) => {
    world.port = await freePort();
    const before = folders();
    const { child, said, ended } = demo({ PORT: String(world.port), SOURCE: "test" });
    const url = `http://localhost:${world.port}`;
    await until("it prints the address", () => said.text.includes(`${url}\n`) && said.text.includes("Ctrl-C ends"));
    for (const name of ["supervisor", "edge-relay", "edge-broadcaster"]) assert.match(said.text, new RegExp(`Z ${name} +INFO`));
    const page = await world.open(await world.browser(), "/", "localhost");
    await page.click(".stream");
    await plays(page);
    await clockAdvances(page);

    const [, password] = /\/monitor +\(password: ([0-9a-f]{12})\)/.exec(said.text) ?? [];
    const operator = await world.open(await world.browser(), "/monitor", "localhost");
    await operator.fill("#password", password ?? "");
    await operator.press("#password", "Enter");
    await until("broadcaster, relay and viewer are drawn", async () => (await operator.locator(".node[data-peer]").count()) === 3);

    assert.equal(folders().length, before.length + 1);
    child.kill("SIGINT");
    assert.equal(await ended, 0, said.text);
    assert.deepEqual(folders(), before);
    assert.equal(existsSync(`/proc/${child.pid}`), false);
    await until("nobody listens any more", () => fetch(`${url}/health`).then(() => false, () => true));
  });
});

test("a demo that cannot start says what to do", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    for (const [variables, words] of /** @type {[Record<string, string>, RegExp][]} */ ([
      [{ PORT: String(world.port) }, new RegExp(`port ${world.port} is in use; try another one: make demo PORT=${world.port + 1}`)],
      [{ PORT: "http" }, /PORT=http is no port/],
      [{ PORT: "1", SOURCE: "no-such-film.webm" }, /no-such-film.webm: no such file/],
    ])) {
      const { said, ended } = demo(variables);
      assert.equal(await ended, 1);
      assert.match(said.text, words);
    }
  });
});
