// Pages that reach nobody but through a TURN server, which is Debian's coturn with credentials that run out.
//
// A page's real addresses are kept out of play by its own browser: with iceTransportPolicy "relay" it neither offers
// nor uses others than relayed ones, as behind a router that lets UDP through to one server only. Routers and network
// namespaces of the kernel would be truer, and want root. On the side of services, which know no such policy, the TURN
// server itself refuses to speak to any address but its own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, clockAdvances, stats, testPicture, until } from "./harness.js";

const LIST = 'default_topology = { kind = "linked-list" }\n';
const RELAYED_ONLY = "denied-peer-ip=0.0.0.0-255.255.255.255\nallowed-peer-ip=127.0.0.1";

/** The page's connections, kept where a test finds them. @typedef {{ connections: RTCPeerConnection[] }} Kept */

/** Leaves a page nothing but relayed addresses. Runs in the page, before its scripts. */
function behindNat() {
  /** @type {RTCPeerConnection[]} */
  const connections = [];
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    /** @param {RTCConfiguration} [configuration] */
    constructor(configuration) {
      super({ ...configuration, iceTransportPolicy: "relay" });
      connections.push(this);
    }
  };
  Object.assign(globalThis, { connections });
}

/** The kinds of both ends of each path in use: `["relay", "host"]` from here to there. Runs in the page. */
async function pathsInUse() {
  const paths = [];
  for (const connection of /** @type {Kept} */ (/** @type {unknown} */ (globalThis)).connections) {
    if (connection.connectionState !== "connected") continue;
    const report = await connection.getStats();
    const transport = [...report.values()].find(({ type }) => type === "transport");
    const pair = report.get(transport?.selectedCandidatePairId);
    const ends = [report.get(pair?.localCandidateId), report.get(pair?.remoteCandidateId)];
    paths.push(ends.map((end) => end?.candidateType));
  }
  return paths;
}

/** How many connections the page has begun. Runs in the page. */
function connectionsBegun() {
  return /** @type {Kept} */ (/** @type {unknown} */ (globalThis)).connections.length;
}

/**
 * Where pages are opened that have only relayed addresses.
 * @param {World} world
 */
async function secluded(world) {
  const context = await (await world.browser()).newContext();
  await context.addInitScript(behindNat);
  return context;
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string[]} path kinds of its ends
 */
async function speaksOnlyOver(page, path) {
  const paths = await page.evaluate(pathsInUse);
  assert.ok(paths.length > 0, "a page that plays has a connection");
  for (const found of paths) assert.deepEqual(found, path);
}

test("pages and a broadcaster that reach each other only through a TURN server pass the stream on", async () => {
  await World.run(async (world) => {
    await world.supervisor(LIST + await world.turn("north", RELAYED_ONLY));
    await world.broadcaster(testPicture("garden"));
    const context = await secluded(world);
    const first = await world.viewer(context, "garden");
    const second = await world.viewer(context, "garden");
    const [upper, lower] = [await stats(first), await stats(second)];
    assert.deepEqual([upper.depth, lower.depth], [1, 2]);
    assert.equal(lower.parent, upper.peer);
    await clockAdvances(second, 3_000);
    await speaksOnlyOver(first, ["relay", "relay"]);
    await speaksOnlyOver(second, ["relay", "relay"]);
    // The server refuses the broadcaster's own address at once: no reason to begin anew before the relayed one comes.
    assert.ok(await first.evaluate(connectionsBegun) < 5);
  });
});

test("a relay feeds several pages that have only relayed addresses", async () => {
  await World.run(async (world) => {
    await world.supervisor(await world.turn("north"));
    await world.relay();
    await world.broadcaster(testPicture("garden"), 1_700); // one child, the relay
    const context = await secluded(world);
    for (const page of [await world.viewer(context, "garden"), await world.viewer(context, "garden")]) {
      await until("the relay feeds it", async () => (await stats(page)).depth === 2);
      await clockAdvances(page, 3_000);
      // Once a path is found to work that is relayed at this end alone. Those to other pages are at both.
      await until("it speaks to the relay's own address", async () => {
        const paths = await page.evaluate(pathsInUse);
        return paths.some(([here, there]) => here === "relay" && there !== "relay");
      });
    }
  });
});

test("a page whose credentials the TURN server refuses says that it reaches nobody, and others play", async () => {
  await World.run(async (world) => {
    const turn = await world.turn("north");
    await world.supervisor(turn.replace("north", "south"));
    await world.broadcaster(testPicture("garden"));
    const page = await world.open(await secluded(world), "/watch/garden");
    const words = page.locator("#message-words");
    await until("it says so", async () => (await words.textContent())?.includes("reaches nobody"));
    assert.equal((await stats(page)).started, false);
    assert.deepEqual(await page.evaluate(pathsInUse), []);
    await world.viewer(await world.browser(), "garden");
  });
});
