// Watches what a supervisor elsewhere has on the air, as a person would: opens its first page in Chromium, clicks the first
// live stream, and waits until the picture has moved for a while.
//
// usage: node web/tests/watches.js URL PATIENCE SECONDS [PICTURE.png]        fails if no picture moves within PATIENCE seconds
import { chromium } from "playwright-core";
import { CHROMIUM, FLAGS, stats, until } from "./harness.js";

const [url, patience, seconds, picture] = process.argv.slice(2);
if (!url || !(Number(patience) > 0) || !(Number(seconds) > 0)) {
  console.log("usage: node web/tests/watches.js URL PATIENCE SECONDS [PICTURE.png]");
  process.exit(2);
}
const end = Date.now() + Number(patience) * 1000;
const left = () => Math.max(1_000, end - Date.now());
/** Whoever is elsewhere cannot look up the names that this browser would give its addresses. */
const BY_ADDRESS = "--disable-features=WebRtcHideLocalIpsWithMdns";

const browser = await chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, BY_ADDRESS] });
try {
  const page = await browser.newPage();
  page.on("console", (message) => message.type() === "error" && console.log(`page: ${message.text()}`));
  page.on("pageerror", (error) => console.log(`page: ${error.message}`));
  await page.goto(url, { timeout: left() });
  await page.click('.stream[data-live="true"]', { timeout: left() });
  await page.waitForFunction("window.ownstream !== undefined", undefined, { timeout: left() });
  const begin = await until("there is a picture", async () => {
    const now = await stats(page);
    return now.started ? now : null;
  }, left());
  const goal = begin.positionMs + Number(seconds) * 1000;
  const now = await until(`the picture has moved for ${seconds} s`, async () => {
    const now = await stats(page);
    return now.positionMs > goal ? now : null;
  }, left());
  const size = await page.evaluate(() => {
    const video = /** @type {HTMLVideoElement} */ (document.querySelector("video"));
    return `${video.videoWidth}x${video.videoHeight}, ${video.getVideoPlaybackQuality().totalVideoFrames} pictures`;
  });
  if (picture) await page.screenshot({ path: picture });
  console.log(`${size}, ${Math.round(now.latencyMs ?? 0)} ms late, ${now.stalls} stalls, ${Math.round(now.stalledMs)} ms of them`);
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
