// A tab behind others goes on feeding its child: its own timers drop to one a second, a worker's do not.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { World, clockInPicture, stats, testPicture, until } from "./harness.js";
import { RawChromium } from "./raw-chromium.js";

test("a hidden tab goes on feeding its child, and is live again when it is shown", async () => {
  await World.run(async (world) => {
    await world.supervisor('default_topology = { kind = "linked-list" }\n');
    await world.broadcaster(testPicture("garden"));
    const chromium = new RawChromium(join(world.dir, "profile"));
    try {
      const parent = await chromium.open(`http://127.0.0.1:${world.port}/watch/garden`);
      const ask = () => parent.evaluate("window.ownstream?.stats()");
      await until("the parent plays", async () => (await ask())?.started);
      const child = await world.viewer(await world.browser(), "garden");
      const before = await ask();
      await until("it feeds the child", async () => (await stats(child)).parent === before.peer);

      const front = await chromium.open("about:blank");
      await front.activate();
      await until("the parent is hidden", () => parent.evaluate("document.visibilityState === 'hidden'"));
      const clock = await clockInPicture(child);
      await until("the child sees five seconds more", async () => (await clockInPicture(child)) > clock + 5_000);

      // Three seconds of the stream, if it is not away for a moment on a machine with too much to do.
      await until("it has had them of the parent", async () => (await ask()).bytesUp > before.bytesUp + 300_000);
      const after = await ask();
      // Chromium itself pauses what is hidden and muted, and that is no stall; in front again it is live again.
      assert.equal(after.stalls, before.stalls);
      await parent.activate();
      await until("the parent plays, live", async () => {
        const now = await ask();
        return now.positionMs > after.positionMs + 3_000 && now.aheadMs < now.holdMs + 1_000 && !now.stalled;
      });
    } finally {
      await chromium.close();
    }
  });
});
