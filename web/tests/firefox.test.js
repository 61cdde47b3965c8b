// Firefox plays, too, and feeds others.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { World, clockAdvances, readClock, stats, testPicture, until } from "./harness.js";
import { RawFirefox } from "./raw-firefox.js";

test("Firefox plays the test picture, and its clock advances", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden"));
    const firefox = await RawFirefox.begin(join(world.dir, "firefox"));
    try {
      await firefox.open(`http://127.0.0.1:${world.port}/watch/garden`);
      const ask = () => firefox.evaluate(() => /** @type {any} */ (window).ownstream?.stats());
      await until("the first picture", async () => (await ask())?.started);
      const first = await until("a clock in the picture", () => firefox.evaluate(readClock));
      await until("it advances by three seconds", async () => (await firefox.evaluate(readClock)) > first + 3_000);
      const now = await ask();
      assert.equal(now.depth, 2);
      assert.ok(now.latencyMs > 0, `live latency ${now.latencyMs}`);
    } finally {
      await firefox.close();
    }
  });
});

test("a page in Chromium is fed by one in Firefox", async () => {
  await World.run(async (world) => {
    await world.supervisor('default_topology = { kind = "linked-list" }\n');
    await world.broadcaster(testPicture("garden"));
    const firefox = await RawFirefox.begin(join(world.dir, "firefox"));
    try {
      await firefox.open(`http://127.0.0.1:${world.port}/watch/garden`);
      const ask = () => firefox.evaluate(() => /** @type {any} */ (window).ownstream?.stats());
      await until("the first picture in Firefox", async () => (await ask())?.started);
      const page = await world.viewer(await world.browser(), "garden");
      const [upper, lower] = [await ask(), await stats(page)];
      assert.deepEqual([upper.depth, lower.depth], [1, 2]);
      assert.equal(lower.parent, upper.peer);
      assert.ok(upper.bytesUp > 0, `${upper.bytesUp} bytes sent`);
      await clockAdvances(page);
    } finally {
      await firefox.close();
    }
  });
});
