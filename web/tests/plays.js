// Plays files in Chromium from their beginning to their end, and says of each how many pictures it decoded.
//
// usage: node web/tests/plays.js FILE…        fails if one does not play
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { CHROMIUM, FLAGS, PATIENCE, within } from "./harness.js";

/** Faster than a person would look at it. Decoding is what it is about. */
const RATE = 16;

const files = process.argv.slice(2);
if (files.length === 0) {
  console.log("there is no file to be played");
  process.exit(1);
}
const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
try {
  for (const file of files) {
    const page = await browser.newPage();
    await page.goto(pathToFileURL(file).href); // a page with a player, made by the browser
    const played = page.evaluate(async (rate) => {
      const video = /** @type {HTMLVideoElement} */ (document.querySelector("video"));
      video.muted = true;
      video.playbackRate = rate;
      await new Promise((resolve, reject) => {
        video.addEventListener("ended", resolve);
        const fail = () => reject(new Error(video.error?.message || "it cannot be played"));
        video.addEventListener("error", fail);
        video.querySelector("source")?.addEventListener("error", fail);
        if (video.error) fail();
        if (video.ended) resolve(undefined);
        video.play().catch(reject);
      });
      return { pictures: video.getVideoPlaybackQuality().totalVideoFrames, seconds: video.currentTime };
    }, RATE);
    const { pictures, seconds } = await within(2 * PATIENCE, `${file} does not play to its end`, played);
    if (file.includes("video") && pictures === 0) throw new Error(`${file}: not one picture`);
    console.log(`${basename(file)}: ${pictures} pictures, to ${seconds.toFixed(1)} s`);
    await page.close();
  }
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
