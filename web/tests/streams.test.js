// Streams of different kinds, and what the page says of them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { PATIENCE, World, clockInPicture, film, makeFilm, plays, stats, testPicture, until } from "./harness.js";

/**
 * A WebM file of ten seconds of a tone.
 * @param {string} dir
 */
function tone(dir) {
  const path = join(dir, "tone.webm");
  const pipeline = `audiotestsrc num-buffers=500 samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=2 ! opusenc ! webmmux ! filesink location=${path}`;
  execFileSync("gst-launch-1.0", ["-q", ...pipeline.split(" ")]);
  return path;
}

test("a stream of sound alone plays, and the page says that it is sound only", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(film("radio", tone(world.dir)));
    const page = await world.viewer(await world.browser(), "radio");
    await page.waitForSelector('#stage[data-state="listening"]', { timeout: PATIENCE });
    assert.match((await page.textContent("#message-words")) ?? "", /sound only/i);
    const decoded = () => page.evaluate(() => /** @type {any} */ (document.querySelector("video")).webkitAudioDecodedByteCount);
    const before = await decoded();
    await until("sound is decoded", async () => (await decoded()) > before);
  });
});

for (const [video, audio, names] of /** @type {const} */ ([["vp8", "vorbis", "VP8 + Vorbis"], ["vp9", "opus", "VP9 + Opus"]])) {
  test(`a film of ${names} plays, and begins again at its end`, async () => {
    await World.run(async (world) => {
      await world.supervisor();
      await world.broadcaster(film("film", makeFilm(world.dir, video, audio)));
      const page = await world.viewer(await world.browser(), "film");
      assert.match((await page.textContent("#subtitle")) ?? "", new RegExp(`${names.replace("+", "\\+")}$`));
      const decoded = () =>
        page.evaluate(() => {
          const video = /** @type {any} */ (document.querySelector("video"));
          return { frames: video.getVideoPlaybackQuality().totalVideoFrames, sound: video.webkitAudioDecodedByteCount };
        });
      const before = await stats(page);
      await until("more than the film has been played", async () => (await stats(page)).positionMs > before.positionMs + 6_000);
      const then = await decoded();
      await until("pictures and sound come on", async () => {
        const now = await decoded();
        return now.frames > then.frames && now.sound > then.sound;
      });
      assert.equal((await stats(page)).rebuilds, before.rebuilds, "the same media source all the time");
    });
  });
}

test("two streams of one broadcaster play in two pages, and each shows its own", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden") + testPicture("door"));
    const browser = await world.browser();
    const garden = await world.viewer(browser, "garden");
    const door = await world.viewer(browser, "door");
    const [one, other] = [await stats(garden), await stats(door)];
    assert.notEqual(one.stream, other.stream);
    for (const page of [garden, door]) {
      const before = await clockInPicture(page);
      await until("its clock advances", async () => (await clockInPicture(page)) > before);
    }
    // From one to the other without leaving the page.
    await garden.click("#back");
    await garden.click('.stream[data-name="door"]');
    await plays(garden);
    assert.equal((await stats(garden)).stream, other.stream);
  });
});

test("a page opened before its stream waits for it, and plays when it comes", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    const page = await world.open(await world.browser(), "/watch/garden");
    await page.waitForSelector('#stage[data-state="waiting"]', { timeout: PATIENCE });
    await until("it says so", async () => (await page.textContent("#message-words")) === "Waiting for the stream “garden”…");
    await world.broadcaster(testPicture("garden"));
    await plays(page);
  });
});

test("a browser that cannot play VP8 says so instead of trying", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    const context = await browser.newContext();
    await context.addInitScript(() => {
      MediaSource.isTypeSupported = (type) => !type.includes("vp8");
    });
    const page = await world.open(context, "/watch/garden");
    await page.waitForSelector('#stage[data-state="unplayable"]', { timeout: PATIENCE });
    assert.equal(await page.textContent("#message-words"), "This browser cannot play VP8 in WebM.");
  });
});

for (const [name, words] of [["RTCPeerConnection", "WebRTC"], ["WebAssembly", "WebAssembly"]]) {
  test(`a browser without ${words} says so, for the stream and for the list`, async () => {
    await World.run(async (world) => {
      await world.supervisor();
      const browser = await world.browser();
      const context = await browser.newContext();
      await context.addInitScript((/** @type {string} */ name) => void Reflect.deleteProperty(globalThis, name), name);
      const page = await world.open(context, "/watch/garden");
      await page.waitForSelector('#stage[data-state="unplayable"]', { timeout: PATIENCE });
      const said = `This browser cannot take part: ${words} is missing or switched off.`;
      assert.equal(await page.textContent("#message-words"), said);
      await page.click("#back");
      assert.equal(await page.textContent("#empty-title"), said);
    });
  });
}

/** Has the machines trap at each beat once the page's `traps` is set. Runs in the page, before all of its scripts. */
function trapWhenTold() {
  const page = /** @type {{ traps?: boolean }} */ (globalThis);
  // A module whose one function, f, is `unreachable`: what a panic of Rust compiles to.
  const code = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3, 0, 0, 11];
  const instantiate = WebAssembly.instantiateStreaming;
  WebAssembly.instantiateStreaming = async (source, imports) => {
    const { module, instance } = await instantiate(source, imports);
    const real = /** @type {Record<string, any>} */ (instance.exports);
    const trap = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(code))).exports.f;
    const tick = (/** @type {unknown[]} */ ...given) => (page.traps ? /** @type {any} */ (trap)() : real.peer_tick(...given));
    return { module, instance: { exports: { ...real, peer_tick: tick } } };
  };
}

test("a page whose machines break says so once, is no longer live, and leaves the stream", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    const context = await browser.newContext();
    await context.addInitScript(trapWhenTold);
    const page = await world.viewer(context, "garden");
    await page.waitForSelector("#live[data-live]", { timeout: PATIENCE });
    /** @type {string[]} */
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    await page.evaluate("globalThis.traps = true");
    await page.waitForSelector('#stage[data-state="unplayable"]', { timeout: PATIENCE });
    const said = "Something in this page broke; load it anew.";
    assert.equal(await page.textContent("#message-words"), said);
    assert.equal(await page.textContent("#live-words"), "Not live");
    assert.equal(await stats(page), null);

    const other = await world.open(browser, "/");
    await other.waitForSelector('.stream[data-name="garden"][data-viewers="0"]', { timeout: PATIENCE });
    await page.click("#back");
    assert.equal(await page.textContent("#supervisor"), said);
    await page.click('.stream[data-name="garden"]');
    assert.equal(await page.textContent("#message-words"), said);
    assert.equal(complaints.length, 1, complaints.join("\n"));
    assert.match(complaints[0], /RuntimeError: unreachable/);
    await page.reload();
    await plays(page);
  });
});

test("a page on a plain-http name of the LAN plays, and says what plain http means", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser(["--host-resolver-rules=MAP edge.test 127.0.0.1"]);
    const page = await world.open(browser, "/watch/garden", "edge.test");
    await plays(page);
    assert.equal(await page.evaluate("isSecureContext"), false);
    assert.ok(await page.isVisible("#plain-http"));
  });
});
