// How well it plays in a real browser: stalls and live latency of one page, of the third page of a chain, of a film
// like the paper's, and the time from joining, and from opening a page, to the first picture. Wants a machine with nothing else to do.
//
// usage: PROFILE=release node web/bench/figures.js [SECONDS] [FILM.webm]     (after `make build`)
import { readFile } from "node:fs/promises";

import { World, film, clockInPicture, percentile, sleep, stats, testPicture, until } from "../tests/harness.js";

const SECONDS = Number(process.argv[2] ?? 60);
const FILM = process.argv[3];
const LOOK_EVERY = 250;
const JOINS = 15;

/** @typedef {import("playwright-core").Page} Page */

/** @param {number[]} values */
function spread(values) {
  return `p50 ${Math.round(percentile(values, 0.5))} ms, p99 ${Math.round(percentile(values, 0.99))} ms`;
}

/** The broadcaster's clock is the kernel's monotonic one, and so is ours. */
function monotonicMs() {
  return Number((process.hrtime.bigint() / 1_000_000n) % 2n ** 32n);
}

/**
 * Watches a page for a while.
 * @param {string} what
 * @param {Page} page
 * @param {boolean} hasClock whether its picture shows the broadcaster's clock
 */
async function watch(what, page, hasClock) {
  const before = await stats(page);
  const told = [];
  const seen = [];
  for (let end = Date.now() + SECONDS * 1000; Date.now() < end; ) {
    await sleep(LOOK_EVERY);
    const { latencyMs } = await stats(page);
    if (latencyMs !== null) told.push(latencyMs);
    if (hasClock) seen.push(monotonicMs() - (await clockInPicture(page)));
  }
  const now = await stats(page);
  const stalled = `${now.stalls} stalls (${now.stalls - before.stalls} of them in these ${SECONDS} s), ${Math.round(now.stalledMs)} ms`;
  console.log(`${what}: depth ${now.depth}, ${stalled}; live latency ${spread(told)}`);
  if (seen.length) console.log(`  by the clock in the picture: ${spread(seen)}`);
}

/**
 * What checking a chunk costs in a browser, its share of a signature included: the verifier by itself, on two seconds of a
 * camera at 3 Mbit/s.
 * @param {World} world
 */
async function checking(world) {
  const page = await (await world.browser()).newPage();
  await page.route("**/*", async (route) => {
    const name = new URL(route.request().url()).pathname.slice(1);
    if (!name) return route.fulfill({ contentType: "text/html", body: "<!doctype html><title>bench</title>" });
    const contentType = name.endsWith(".js") ? "text/javascript" : "application/wasm";
    return route.fulfill({ contentType, body: await readFile(new URL(`../../target/wasm/check_cost/${name}`, import.meta.url)) });
  });
  await page.goto("http://bench.invalid/");
  const { chunks, took } = await page.evaluate(async () => {
    const from = "/check_cost.js";
    const { default: load, Camera } = await import(from);
    await load("/check_cost_bg.wasm");
    const camera = new Camera(2);
    /** @type {number[]} */
    const took = [];
    for (let i = 0; i < 20; i += 1) {
      const begin = performance.now();
      if (camera.check() !== camera.chunks) throw new Error("a good chunk was refused");
      took.push(performance.now() - begin);
    }
    return { chunks: camera.chunks, took };
  });
  console.log(`checking a chunk in the browser: p50 ${(percentile(took, 0.5) / chunks).toFixed(3)} ms (wanted below 1)`);
}

await World.run(checking);

await World.run(async (world) => {
  await world.supervisor();
  await world.relay();
  await world.broadcaster('[[stream]]\nname = "demo"\nsource = "test"\n');
  const browser = await world.browser();
  const page = await world.viewer(browser, "demo");
  await watch("one page, 720p test picture", page, true);
  await page.close();

  /** @type {{ join: number, picture: number }[]} */
  const starts = [];
  for (let i = 0; i < JOINS; i += 1) {
    const other = await world.open(browser, "/watch/demo");
    starts.push(await other.evaluate(async () => {
      const { stats } = /** @type {any} */ (window).ownstream ?? {};
      for (;;) {
        const video = /** @type {HTMLVideoElement} */ (document.querySelector("video"));
        if (stats && video.getVideoPlaybackQuality().totalVideoFrames > 0) {
          return { join: performance.getEntriesByName("join")[0].startTime, picture: performance.now() };
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }));
    await other.close();
    await sleep(300);
  }
  console.log(`from joining to the first picture, ${JOINS} times: ${spread(starts.map((s) => s.picture - s.join))}`);
  console.log(`from opening the page, in a browser that was never here: ${spread(starts.map((s) => s.picture))}`);
});

await World.run(async (world) => {
  await world.supervisor();
  await world.relay(1_700); // one child of 1.1 Mbit/s
  await world.broadcaster(testPicture("chain"), 1_700);
  const browser = await world.browser();
  /** @type {Page[]} */
  const pages = [];
  for (let i = 0; i < 3; i += 1) pages.push(await world.viewer(browser, "chain", "?uplink_kbps=1700"));
  await until("the chain is one", async () => (await stats(pages[2])).depth === 4);
  await watch("the last page of three behind a relay", pages[2], true);
});

if (FILM) {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(film("film", FILM));
    await watch("a film", await world.viewer(await world.browser(), "film"), false);
  });
}
