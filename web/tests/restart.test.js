// What happens behind the page must not end what it shows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PATIENCE, World, clockAdvances, clockInPicture, film, makeFilm, plays, stats, testPicture, until } from "./harness.js";

test("while the supervisor is away the picture goes on, and when it is back others can join", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    const page = await world.viewer(browser, "garden");
    await world.kill("supervisor", "SIGKILL");
    await page.waitForSelector('#supervisor[data-state="lost"]', { timeout: PATIENCE });
    assert.equal(await page.textContent("#supervisor"), "Reconnecting to the supervisor…");
    const clock = await clockInPicture(page);
    await until("the picture goes on without it", async () => (await clockInPicture(page)) > clock + 2_000);
    await world.supervisor();
    await page.waitForSelector('#supervisor[data-state="connected"]', { timeout: PATIENCE });
    await world.viewer(browser, "garden");
    const after = await clockInPicture(page);
    await until("the first page still plays", async () => (await clockInPicture(page)) > after);
  });
});

test("when the broadcaster starts again, the page goes on with the new epoch by itself", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden"));
    const page = await world.viewer(await world.browser(), "garden");
    await world.kill("broadcaster", "SIGKILL");
    await until("the page says that it waits", async () => (await page.getAttribute("#stage", "data-state")) === "stalled");
    const clock = await clockInPicture(page);
    await world.broadcaster(testPicture("garden"));
    await until("the clock in the picture goes on", async () => (await clockInPicture(page)) > clock + 1_000);
    await until("it no longer waits", async () => !(await stats(page)).stalled);
  });
});

test("when a stream has ended the page says so, and when it is back it plays by itself", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    const page = await world.open(await world.browser(), "/watch/garden");
    await page.waitForSelector('#supervisor[data-state="connected"]', { timeout: PATIENCE });
    await world.broadcaster(film("garden", makeFilm(world.dir, "vp8", "opus"), false));
    await until("the first picture", async () => (await stats(page))?.started);
    const { stream } = await stats(page);
    await page.waitForSelector('#stage[data-state="ended"]', { timeout: PATIENCE });
    assert.equal(await page.textContent("#message-words"), "The stream has ended.");
    await world.kill("broadcaster");
    await world.broadcaster(testPicture("garden"));
    await page.waitForSelector('#stage[data-state="playing"]', { timeout: PATIENCE });
    await plays(page);
    await clockAdvances(page);
    assert.equal((await stats(page)).stream, stream, "the same stream");
  });
});

test("who leaves a stream that stands still for another one sees that one move", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    const page = await world.viewer(await world.browser(), "garden");
    await world.kill("broadcaster", "SIGKILL");
    await until("the page waits", async () => (await page.getAttribute("#stage", "data-state")) === "stalled");
    await world.broadcaster(testPicture("door"));
    await page.click("#back");
    await page.click('.stream[data-name="door"]');
    await page.waitForSelector('#stage[data-state="playing"]', { timeout: PATIENCE });
    await plays(page);
    await clockAdvances(page);
  });
});

test("who was not let in is let in by himself when the stream comes back for everybody", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden", 'access = "invited"'));
    const page = await world.open(await world.browser(), "/watch/garden");
    await page.waitForSelector('#stage[data-state="refused"]', { timeout: PATIENCE });
    await world.kill("broadcaster");
    await world.broadcaster(testPicture("garden"));
    await page.waitForSelector('#stage[data-state="playing"]', { timeout: PATIENCE });
    await plays(page);
  });
});
