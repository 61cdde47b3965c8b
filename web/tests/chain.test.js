// Pages that feed pages.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ONE_CHILD_KBPS, World, clockAdvances, clockInPicture, inChain, isFedByAnotherThan, killBrowser, killRenderers, plays, stats,
  testPicture, until,
} from "./harness.js";

/** @typedef {import("./harness.js").Page} Page */
/** @typedef {import("./harness.js").Browser} Browser */

const LIST = 'default_topology = { kind = "linked-list" }\n';

/**
 * Pages one below the other, below the broadcaster, the upmost first.
 * @param {World} world
 * @param {number} length
 */
async function chain(world, length) {
  await world.supervisor(LIST);
  await world.broadcaster(testPicture("garden"));
  const browser = await world.browser();
  const pages = [];
  for (let i = 0; i < length; i += 1) pages.push(await world.viewer(browser, "garden"));
  return pages;
}

/**
 * Three pages one below the other, below a relay, the upmost first; each in a browser of its own, so that its death is not
 * the others'.
 * @param {World} world
 */
async function chainOfBrowsers(world) {
  await world.supervisor();
  await world.relay(ONE_CHILD_KBPS);
  await world.broadcaster(testPicture("garden"), ONE_CHILD_KBPS);
  const pages = [];
  for (let i = 0; i < 3; i += 1) {
    pages.push(await world.viewer(await world.browser(), "garden", `?uplink_kbps=${ONE_CHILD_KBPS}`));
  }
  const browserOf = (/** @type {Page} */ page) => /** @type {Browser} */ (page.context().browser());
  return (await inChain(pages)).map((one) => ({ ...one, browser: browserOf(one.page) }));
}

/**
 * Waits until a page sees so many viewers in the list of streams.
 * @param {Page} page
 * @param {number} count
 */
function viewersAre(page, count) {
  return until(`${count} watch`, async () => {
    const [stream] = /** @type {import("../pkg/web.js").Stream[]} */ (await page.evaluate("window.ownstream.streams()"));
    return stream?.viewers === count;
  });
}

test("the third page of a chain is fed by the second, which is fed by the first", async () => {
  await World.run(async (world) => {
    const pages = await chain(world, 3);
    const [first, second, third] = await inChain(pages);
    assert.deepEqual([first.depth, second.depth, third.depth], [1, 2, 3]);
    assert.ok(first.bytesUp > 0 && second.bytesUp > 0);
    for (const page of pages) await clockAdvances(page);
  });
});

test("a page below a full relay is fed by a page", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay(ONE_CHILD_KBPS);
    await world.broadcaster(testPicture("garden"), ONE_CHILD_KBPS);
    const browser = await world.browser();
    const first = await world.viewer(browser, "garden");
    const second = await world.viewer(browser, "garden");
    // As they stand: where the relay fell silent for a moment, the broadcaster feeds the first.
    const [upper, lower] = await until("one page feeds the other", async () => {
      const [one, other] = (await Promise.all([first, second].map(stats))).sort((a, b) => a.depth - b.depth);
      return other.parent === one.peer ? [one, other] : null;
    });
    assert.equal(lower.depth, upper.depth + 1);
    await clockAdvances(second);
  });
});

test("when the tab above is closed, the tab below plays on", async () => {
  await World.run(async (world) => {
    const [, above, below] = await inChain(await chain(world, 3));
    await above.page.close({ runBeforeUnload: false });
    await isFedByAnotherThan(below.page, above.peer);
    await plays(below.page);
    await clockAdvances(below.page);
  });
});

test("when the tab above dies without a word, the tab below plays on", async () => {
  await World.run(async (world) => {
    await world.supervisor(LIST);
    await world.broadcaster(testPicture("garden"));
    // A browser of its own, so that its death is not the others'.
    const doomed = await world.browser();
    await world.viewer(doomed, "garden");
    const below = await world.viewer(await world.browser(), "garden");
    assert.equal((await stats(below)).depth, 2);
    await world.freeze(doomed);
    await until("the page below is fed by the broadcaster", async () => (await stats(below)).depth === 1);
    await clockAdvances(below);
  });
});

for (const [what, kill] of /** @type {const} */ ([["browser", killBrowser], ["renderer", killRenderers]])) {
  test(`when the ${what} of the page above is killed, the page below plays on from another parent`, async () => {
    await World.run(async (world) => {
      const [first, doomed, below] = await chainOfBrowsers(world);
      await kill(doomed.browser);
      await isFedByAnotherThan(below.page, doomed.peer);
      // Longer than what any page has in stock.
      await clockAdvances(below.page, 3_000);
      await clockAdvances(first.page);
      await viewersAre(below.page, 2);
    });
  });
}

test("a page that stood still and goes on is fed again, and so is the page that was below it", async () => {
  await World.run(async (world) => {
    const [, frozen, below] = await chainOfBrowsers(world);
    await world.freeze(frozen.browser);
    await isFedByAnotherThan(below.page, frozen.peer);
    await clockAdvances(below.page, 3_000);
    world.thaw(frozen.browser);
    const missed = await clockInPicture(below.page);
    await until("it has caught up with what it missed", async () => (await clockInPicture(frozen.page)) > missed);
    await viewersAre(frozen.page, 3);
    for (const { page } of [frozen, below]) {
      await until("it has a parent", async () => (await stats(page)).parent);
      await clockAdvances(page);
    }
  });
});
