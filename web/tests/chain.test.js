// Pages that feed pages.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, clockAdvances, plays, stats, testPicture, until } from "./harness.js";

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

test("the third page of a chain is fed by the second, which is fed by the first", async () => {
  await World.run(async (world) => {
    const pages = await chain(world, 3);
    // As they stand: on a machine with too much to do a page may have fallen silent, and stand further down since.
    const [first, second, third] = await until("they are a chain", async () => {
      const all = (await Promise.all(pages.map(stats))).sort((one, other) => one.depth - other.depth);
      return all.every(({ depth, children }, i) => depth === i + 1 && children === (i < 2 ? 1 : 0)) ? all : null;
    });
    assert.deepEqual([second.parent, third.parent], [first.peer, second.peer]);
    assert.ok(first.bytesUp > 0 && second.bytesUp > 0);
    for (const page of pages) await clockAdvances(page);
  });
});

test("a page below a full relay is fed by a page", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay(1_700); // one child of 1.1 Mbit/s
    await world.broadcaster(testPicture("garden"), 1_700);
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
    const [first, second, third] = await chain(world, 3);
    const top = await stats(first);
    await second.close({ runBeforeUnload: false });
    const moved = await until("the third is a child of the first", async () => {
      const now = await stats(third);
      return now.parent === top.peer ? now : null;
    });
    assert.equal(moved.depth, 2);
    await plays(third);
    await clockAdvances(third);
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
