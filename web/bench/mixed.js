// The paper's experiment with real browser tabs among the viewers: a binary tree, no relays, and every so often somebody fails,
// drawn from all who watch. A tab is closed and another one opened; a viewer without a browser leaves, is killed, or stands
// still, in turn, and another one comes. Stalls are counted over every life, from five seconds after all play.
//
// usage: PROFILE=release node web/bench/mixed.js [SECONDS] [TABS] [OTHERS] [FAILURES_A_SECOND] [SEED]     (after `make build`)
import { World, percentile, sleep, stats, until } from "../tests/harness.js";

// As many as two cores carry (measured: with 6 tabs, 40 others and 3 failures a second all stall for want of them).
const [SECONDS, TABS, OTHERS, RATE, SEED] = [60, 3, 20, 2, 1].map((usual, i) => Number(process.argv[i + 2] ?? usual));
/** As the live experiments have it (testbed/src/live.rs): little work for the encoder, and two children for each viewer. */
const STREAM = `[[stream]]
name = "garden"
source = "test"
[stream.video]
width = 640
height = 360
fps = 25
bitrate_kbps = 1000
[stream.audio]
enabled = false
`;
const VIEWER_KBPS = 3_300;
const CALM = 5_000;
const LOOK_EVERY = 500;
/** What stands still is killed after this, when everybody has long taken it for dead. */
const FROZEN_FOR = 8_000;

/**
 * A viewer: whether it is a tab, how it fares, and how it fails.
 * @typedef {{ isTab: boolean, name: string, fares: () => Promise<Fares | null>, fail: () => Promise<void>, before: Fares | null, last: Fares | null }} Viewer
 * @typedef {{ peer: string, parent: string | null, plays: boolean, stalls: number, stalledMs: number, latencyMs: number | null, depth: number }} Fares
 */

/** Numbers from 0 to 1, the same for the same seed (Marsaglia's xorshift). @param {number} seed */
function numbers(seed) {
  let state = (seed * 0x9e3779b9) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

await World.run(async (world) => {
  await world.supervisor('default_topology = { kind = "tree" }\n');
  await world.broadcaster(STREAM);
  const browser = await world.browser();
  let made = 0;

  /** @returns {Promise<Viewer>} */
  async function openTab() {
    const name = `tab${made++}`;
    const page = await world.open(browser, `/watch/garden?uplink_kbps=${VIEWER_KBPS}`);
    await page.waitForFunction("window.ownstream !== undefined");
    const fares = async () => {
      const now = await stats(page);
      return now && { ...now, plays: now.started };
    };
    return { isTab: true, name, fares, fail: () => page.close(), before: null, last: null };
  }

  /** @returns {Viewer} */
  function start() {
    const name = `viewer${made++}`;
    const lines = world.headless(name, "--stream", "garden", "--uplink-kbps", String(VIEWER_KBPS), "--interval-ms", "200");
    const fares = async () => {
      const line = [...lines.values()].at(-1);
      if (!line) return null;
      const { peer, parent, playing, stalls, stalled_ms, latency_ms, depth } = line;
      return { peer, parent, plays: playing, stalls, stalledMs: stalled_ms, latencyMs: latency_ms, depth };
    };
    const signal = /** @type {const} */ (["SIGINT", "SIGKILL", "SIGSTOP"])[made % 3];
    const fail = async () => {
      world.signal(name, signal);
      if (signal === "SIGSTOP") setTimeout(() => world.signal(name, "SIGKILL"), FROZEN_FOR);
    };
    return { isTab: false, name, fares, fail, before: null, last: null };
  }

  /** @type {Viewer[]} */
  let viewers = [];
  for (let i = 0; i < Math.max(TABS, OTHERS); i += 1) {
    if (i < TABS) viewers.push(await openTab());
    if (i < OTHERS) viewers.push(start());
    await sleep(150);
  }
  await until("all play", async () => (await Promise.all(viewers.map((v) => v.fares()))).every((fares) => fares?.plays), 60_000);
  await sleep(CALM);
  for (const viewer of viewers) viewer.before = await viewer.fares();

  /** @type {{ tabs: number[], others: number[] }} */
  const latencies = { tabs: [], others: [] };
  /** @type {number[]} */
  const fedByTabs = [];
  let deepest = 0;
  async function look() {
    await Promise.all(viewers.map(async (viewer) => {
      viewer.last = (await viewer.fares().catch(() => null)) ?? viewer.last;
    }));
    const tabs = new Set(viewers.filter((v) => v.isTab).map((v) => v.last?.peer));
    for (const { last, isTab } of viewers) {
      if (!last?.plays) continue;
      if (last.latencyMs !== null) latencies[isTab ? "tabs" : "others"].push(last.latencyMs);
      deepest = Math.max(deepest, last.depth);
    }
    fedByTabs.push(viewers.filter(({ last }) => last?.parent && tabs.has(last.parent)).length);
  }

  /** @type {Viewer[]} */
  const gone = [];
  /** @type {Promise<void>[]} */
  const opening = [];
  const draw = numbers(SEED);
  const began = Date.now();
  let [failed, looked] = [0, 0];
  while (Date.now() - began < SECONDS * 1000) {
    const passed = Date.now() - began;
    if (passed >= (failed + 1) * (1000 / RATE)) {
      failed += 1;
      const victim = viewers[Math.floor(draw() * viewers.length)];
      viewers = viewers.filter((other) => other !== victim);
      victim.last = (await victim.fares().catch(() => null)) ?? victim.last;
      gone.push(victim);
      await victim.fail();
      // A tab takes a while to open, and nobody waits for that.
      if (victim.isTab) opening.push(openTab().then((tab) => void viewers.push(tab)));
      else viewers.push(start());
    }
    if (passed >= looked * LOOK_EVERY) {
      looked += 1;
      await look();
    }
    await sleep(10);
  }
  await Promise.all(opening);
  await look();

  const since = (/** @type {Viewer} */ { last, before }, /** @type {"stalls" | "stalledMs"} */ what) => (last?.[what] ?? 0) - (before?.[what] ?? 0);
  const lives = [...gone, ...viewers];
  for (const [kind, isTab] of /** @type {const} */ ([["tabs", true], ["others", false]])) {
    const own = lives.filter((viewer) => viewer.isTab === isTab);
    const stalls = own.reduce((sum, viewer) => sum + since(viewer, "stalls"), 0);
    const stalled = own.reduce((sum, viewer) => sum + since(viewer, "stalledMs"), 0);
    const [p50, p99] = [0.5, 0.99].map((share) => Math.round(percentile(latencies[kind], share)));
    console.log(`${kind}: lives=${own.length} stalls=${stalls} stalled_s=${(stalled / 1000).toFixed(2)} latency_p50_ms=${p50} latency_p99_ms=${p99}`);
  }
  const mean = fedByTabs.reduce((sum, n) => sum + n, 0) / fedByTabs.length;
  console.log(`${failed} failed in ${SECONDS} s; tabs fed ${mean.toFixed(1)} viewers at a time; the tree was ${deepest} deep`);
});
