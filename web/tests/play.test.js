// A page shows the list of streams, and plays one: seen by its pixels, not only by its play head.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { PATIENCE, World, clockInPicture, plays, sleep, stats, testPicture, until } from "./harness.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** @param {import("playwright-core").Page} page */
async function accessibilityFaults(page) {
  // Through the driver, because the page's policy lets no foreign script in.
  await page.evaluate(AXE);
  const result = await page.evaluate(() => /** @type {any} */ (window).axe.run(document, { resultTypes: ["violations"] }));
  return result.violations.map((/** @type {any} */ v) => `${v.id}: ${v.nodes.map((/** @type {any} */ n) => n.target).join(", ")}`);
}

test("a page plays the stream that was clicked, and the clock in its picture advances", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    /** @type {string[]} */
    const complaints = [];
    const page = await world.open(browser, "/");
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));

    await page.waitForSelector('.stream[data-name="garden"][data-live="true"]', { timeout: PATIENCE });
    assert.deepEqual(await accessibilityFaults(page), []);
    await page.click('.stream[data-name="garden"]');
    await plays(page);
    assert.equal(new URL(page.url()).pathname, "/watch/garden");

    const first = await clockInPicture(page);
    const later = await until("the clock in the picture advances by a second", async () => {
      const now = await clockInPicture(page);
      return now - first >= 1_000 ? now : null;
    });
    assert.ok(later - first < PATIENCE, `from ${first} to ${later}: those are no times`);

    await page.keyboard.press("i");
    await until("the figures are shown", () => page.textContent('[data-figure="latency"]').then((t) => t?.endsWith(" ms")));
    assert.deepEqual(await accessibilityFaults(page), []);
    const now = await stats(page);
    // Broadcaster, relay, page; on a machine with too much to do the relay may have fallen silent.
    assert.ok([1, 2].includes(now.depth), `depth ${now.depth}`);
    assert.ok(now.latencyMs !== null && now.latencyMs > 0, `live latency ${now.latencyMs}`);
    assert.deepEqual(complaints, []);
  });
});

test("who joins in the middle of a stream sees a picture, and who leaves leaves nothing behind", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    const first = await world.viewer(browser, "garden");
    await sleep(1_500); // no multiple of the distance between key frames
    const second = await world.viewer(browser, "garden");
    const page = await world.open(browser, "/");
    const viewers = (/** @type {number} */ n) => `.stream[data-name="garden"][data-viewers="${n}"]`;
    await page.waitForSelector(viewers(2), { timeout: PATIENCE });
    await second.click("#back");
    await page.waitForSelector(viewers(1), { timeout: PATIENCE });
    await until("its link is closed", async () => (await stats(second)).links === 0);
    await first.close();
    await page.waitForSelector(viewers(0), { timeout: PATIENCE });
  });
});

test("pause is the viewer's own, and play goes on at live", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    const page = await world.viewer(await world.browser(), "garden");
    const before = await stats(page);
    await page.keyboard.press("k");
    await sleep(3_000);
    assert.equal((await stats(page)).stalls, before.stalls, "a pause is no stall");
    const clock = await clockInPicture(page);
    await page.keyboard.press("k");
    await until("it is live again", async () => {
      const now = await stats(page);
      return (await clockInPicture(page)) > clock + 3_000 && now.aheadMs < now.holdMs + 1_000;
    });
  });
});
