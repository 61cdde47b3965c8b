// H.264 in fragmented MP4 beside Opus in WebM, in one player: seen by its pixels, for one who watches and one who joins.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PATIENCE, World, clockAdvances, stats, testPicture, until } from "./harness.js";

const H264 = 'prefer = "h264"';

test("a page plays a stream of H.264, the clock in its picture advances, and the sound runs beside it", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden", "", H264));
    const page = await world.viewer(await world.browser(), "garden");
    await clockAdvances(page, 3_000);
    await until("the list says what is played", () => page.textContent("body").then((text) => text?.includes("H.264 + Opus")));
    const now = await stats(page);
    assert.equal(now.rebuilds, 0, "the media source took all it was given");
    const quality = await page.evaluate(() => document.querySelector("video")?.getVideoPlaybackQuality().totalVideoFrames);
    assert.ok(quality && quality > 30, `${quality} pictures were decoded`);
  });
});

test("who joins a stream of H.264 in its middle sees a picture, through another viewer", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden", 'topology = { kind = "linked-list" }', H264));
    const browser = await world.browser();
    const first = await world.viewer(browser, "garden");
    const second = await world.viewer(browser, "garden");
    await clockAdvances(second, 2_000);
    const children = await Promise.all([first, second].map(async (page) => (await stats(page)).children));
    assert.deepEqual(children.sort(), [0, 1], "one page feeds the other");
  });
});

test("a browser without H.264 says so in words, and offers the streams it can play", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden", "", H264));
    const context = await (await world.browser()).newContext();
    // What Debian's Chromium answers when it is built without H.264.
    await context.addInitScript(() => {
      const supported = MediaSource.isTypeSupported.bind(MediaSource);
      MediaSource.isTypeSupported = (type) => !type.includes("avc1") && supported(type);
    });
    const page = await world.open(context, "/watch/garden");
    await page.waitForFunction(
      () => document.body.textContent?.includes("This browser cannot play H.264 in MP4."),
      undefined,
      { timeout: PATIENCE },
    );
  });
});
