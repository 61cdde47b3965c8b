// What the monitor page costs with many peers: script per update, and the longest task (layout and paint included), with
// a crowd that was made up and lives: half of it reports each second, some come, go and move.
//
// usage: node web/bench/monitor.js [SECONDS]
import { chromium } from "playwright-core";

import { CHROMIUM, FLAGS, sleep } from "../tests/harness.js";
import { Crowd, serve } from "./simulated-feed.js";

const SECONDS = Number(process.argv[2] ?? 20);

/** @param {number[]} values @param {number} share */
function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN).toFixed(1);
}

/** @param {string} what @param {ConstructorParameters<typeof Crowd>[0]} wish */
async function measure(what, wish) {
  const server = await serve(new Crowd(wish), 500);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  const page = await browser.newPage({ viewport: { width: 1440, height: 1000 } });
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const sums = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    const of = (/** @type {string} */ name) => (metrics.find((m) => m.name === name)?.value ?? 0) * 1000;
    return of("ScriptDuration") + of("LayoutDuration") + of("RecalcStyleDuration");
  };
  await page.goto(server.url);
  await page.waitForSelector(".node");
  await sleep(2_000);
  const before = await sums();
  const skip = await page.evaluate(() => /** @type {any} */ (window).monitor.costs().length);
  await sleep(SECONDS * 1000);
  const costs = (await page.evaluate(() => /** @type {any} */ (window).monitor.costs())).slice(skip);
  const each = ((await sums()) - before) / costs.length;
  const drawn = await page.locator(".node").count();
  console.log(
    `${what}: ${drawn} drawn, ${costs.length} updates; handler p50 ${percentile(costs, 0.5)} ms, p99 ${percentile(costs, 0.99)} ms; ` +
      `script, style and layout in all ${each.toFixed(1)} ms an update, its animation included`,
  );
  await browser.close();
  server.close();
}

await measure("300 peers, relays first", { peers: 300, relays: 5 });
await measure("300 peers, binary tree", { peers: 300, arity: 2 });
await measure("1000 peers, relays first", { peers: 1000, relays: 16 });
await measure("1000 peers, binary tree", { peers: 1000, arity: 2 });
