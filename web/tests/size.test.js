// A board that is too slow for its stream: pictures become smaller in the middle of it, and the page plays on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, clockAdvances, stats, until } from "./harness.js";

/** So large and so often that no processor encodes it. @type {[number, number]} */
const SIZE = [2560, 1440];
const STREAM = `[[stream]]
name = "garden"
source = "test"
[stream.video]
width = ${SIZE[0]}
height = ${SIZE[1]}
fps = 120
encoders = ["vp8enc"]
`;

test("a page plays on when the pictures of its stream become smaller, and so does one that comes later", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(STREAM);
    const browser = await world.browser();
    const page = await world.viewer(browser, "garden");
    const size = () => page.evaluate(() => document.querySelector("video")?.videoWidth ?? 0);
    await world.said("the board has no time for all of this stream");
    await until("the picture is smaller", async () => (await size()) < SIZE[0]);
    await clockAdvances(page, 2_000, SIZE);
    assert.equal((await stats(page)).rebuilds, 0, "the media source took all it was given");
    const late = await world.viewer(browser, "garden");
    await clockAdvances(late, 1_000, SIZE);
  });
});
