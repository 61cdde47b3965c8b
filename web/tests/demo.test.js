// What `make demo` starts once everything is built: the script itself, as a stranger meets it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, renameSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { fileURLToPath } from "node:url";

import { World, clockAdvances, freePort, makeFilm, plays, until } from "./harness.js";

const TOP = fileURLToPath(new URL("../..", import.meta.url));

/** What ends the commands, should a test fail before it did. @type {(() => Promise<void>)[]} */
const ends = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/**
 * Starts a command of the top folder, in a group of its own, as a terminal does; what it printed so far, and how it ended.
 * @param {string[]} command
 * @param {Record<string, string>} variables
 */
function start([program, ...args], variables) {
  const env = { ...process.env, PROGRAMS: `target/${process.env.PROFILE ?? "debug"}`, NO_COLOR: "1", ...variables };
  const child = spawn(program, args, { cwd: TOP, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const said = { text: "" };
  child.stdout.on("data", (data) => (said.text += data));
  child.stderr.on("data", (data) => (said.text += data));
  /** @type {Promise<number | null>} */
  const ended = new Promise((resolve) => child.once("close", resolve));
  const isThere = () => child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  const ctrlC = () => isThere() && process.kill(-(child.pid ?? 0), "SIGINT");
  process.once("exit", ctrlC);
  ends.push(async () => {
    ctrlC();
    await ended;
  });
  return { child, said, ended, ctrlC };
}

/** @param {Record<string, string>} variables */
function demo(variables) {
  return start(["tools/demo.sh"], variables);
}

/** The folders that demos have under way. */
function folders() {
  return readdirSync(join(TOP, "target")).filter((name) => name.startsWith("demo."));
}

test("the demo prints an address at which the test picture plays, and Ctrl-C ends all three and leaves nothing", async () => {
  await World.run(async (world) => {
    world.port = await freePort();
    const before = folders();
    const { child, said, ended, ctrlC } = demo({ PORT: String(world.port), SOURCE: "test" });
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
    ctrlC();
    assert.equal(await ended, 0, said.text);
    assert.deepEqual(folders(), before);
    assert.equal(existsSync(`/proc/${child.pid}`), false);
    await until("nobody listens any more", () => fetch(`http://127.0.0.1:${world.port}/health`).then(() => false, () => true));
  });
});

/** The IPv4 addresses of this machine that others can reach it at. */
function addresses() {
  const all = Object.values(networkInterfaces()).flatMap((some) => some ?? []);
  return all.filter(({ family, internal }) => family === "IPv4" && !internal).map(({ address }) => address);
}

test("make demo, as typed, streams what this machine has, at an address for others too, and Ctrl-C ends it", async () => {
  await World.run(async (world) => {
    world.port = await freePort();
    const film = join(world.dir, "a film's \"name\".webm");
    renameSync(makeFilm(world.dir, "vp8", "opus"), film);
    for (const source of ["", film]) {
      const before = folders();
      const words = [`PORT=${world.port}`, ...(source ? [`SOURCE=${source}`] : [])];
      // All of it but the compiler, which has run.
      const { said, ended, ctrlC } = start(["make", "demo", "CARGO=true", ...words], {});
      await until("it prints the address", () => said.text.includes("Ctrl-C ends"));
      for (const address of ["localhost", ...addresses()]) {
        assert.ok(said.text.includes(`  http://${address}:${world.port}\n`), said.text);
        // Browsers try each address that localhost may stand for, Node its first alone.
        const there = address === "localhost" ? "127.0.0.1" : address;
        assert.equal((await fetch(`http://${there}:${world.port}/health`)).status, 200);
      }
      const page = await world.open(await world.browser(), "/watch/demo", "localhost");
      await plays(page);
      if (!source) await clockAdvances(page);
      ctrlC();
      await ended;
      assert.doesNotMatch(said.text, /\*\*\*|Error/u);
      assert.deepEqual(folders(), before);
      await until("nobody listens any more", () => fetch(`http://127.0.0.1:${world.port}/health`).then(() => false, () => true));
      await page.close();
    }
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
