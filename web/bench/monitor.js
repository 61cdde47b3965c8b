// What the monitor page costs with many peers, with a crowd that was made up and lives: half of it reports each second, some
// come, go and move. The page's own time on the processor, of script, and of style and layout: for an update (moves at once,
// as with prefers-reduced-motion), and for a frame of the animation that follows one.
//
// usage: node web/bench/monitor.js [SECONDS]
import { chromium } from "playwright-core";

import { CHROMIUM, FLAGS, sleep } from "../tests/harness.js";
import { Crowd, serve } from "./simulated-feed.js";

const SECONDS = Number(process.argv[2] ?? 20);
/** Milliseconds between two updates: twice as many as a supervisor sends when something happens all the time. */
const EVERY = 500;

/** @param {ConstructorParameters<typeof Crowd>[0]} wish @param {"reduce" | "no-preference"} motion */
async function spend(wish, motion) {
  const server = await serve(new Crowd(wish), EVERY);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  const page = await browser.newPage({ viewport: { width: 1440, height: 1000 }, reducedMotion: motion });
  const session = await page.context().newCDPSession(page);
  // Time on the processor: a machine with other things to do would count them in.
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const spent = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    const of = (/** @type {string} */ name) => (metrics.find((m) => m.name === name)?.value ?? 0) * 1000;
    return { script: of("ScriptDuration"), layout: of("LayoutDuration") + of("RecalcStyleDuration") };
  };
  await page.goto(server.url);
  await page.waitForSelector(".node");
  await page.evaluate(() => {
    const counts = { frames: 0 };
    Object.assign(window, { counts });
    const ask = requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (step) => ask((now) => (counts.frames++, step(now)));
  });
  await sleep(3_000);
  const count = () => page.evaluate(() => ({ updates: /** @type {any} */ (window).monitor.updates(), frames: /** @type {any} */ (window).counts.frames }));
  const [before, then] = [await spent(), await count()];
  await sleep(SECONDS * 1000);
  const [after, now] = [await spent(), await count()];
  const drawn = await page.locator(".node").count();
  await browser.close();
  server.close();
  return {
    drawn, updates: now.updates - then.updates, frames: now.frames - then.frames,
    script: after.script - before.script, layout: after.layout - before.layout,
  };
}

/** @param {string} what @param {ConstructorParameters<typeof Crowd>[0]} wish */
async function measure(what, wish) {
  const still = await spend(wish, "reduce");
  const moving = await spend(wish, "no-preference");
  const each = (/** @type {number} */ ms) => ms / still.updates;
  const animation = moving.script + moving.layout - (each(still.script) + each(still.layout)) * moving.updates;
  console.log(
    `${what}: ${still.drawn} drawn, ${still.updates} updates; an update ${each(still.script + still.layout).toFixed(1)} ms ` +
      `(script ${each(still.script).toFixed(1)}, style and layout ${each(still.layout).toFixed(1)}); ` +
      `a frame of animation ${(animation / Math.max(1, moving.frames)).toFixed(1)} ms, ${(moving.frames / moving.updates).toFixed(0)} of them an update`,
  );
}

await measure("300 peers, relays first", { peers: 300, relays: 5 });
await measure("300 peers, binary tree", { peers: 300, arity: 2 });
await measure("1000 peers, relays first", { peers: 1000, relays: 16 });
await measure("1000 peers, binary tree", { peers: 1000, arity: 2 });
