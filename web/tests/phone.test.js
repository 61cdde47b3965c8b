// The page on a phone, upright and sideways: each button can be touched.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, plays, testPicture, until } from "./harness.js";

const FIGURES = {
  latency: /^\d+ ms$/,
  hold: /^\d+ of \d+ ms$/,
  stalls: /^\d+/,
  parent: /^[0-9a-f]{8}$/,
  depth: /^[12]$/, // on a machine with too much to do the broadcaster may feed it
  children: /^0$/,
  down: /^[\d.]+ [kM]bit\/s · [\d.]+ [kM]B$/,
  up: /^0 kbit\/s · 0 kB$/,
};

/** @param {import("playwright-core").Page} page */
function figures(page) {
  return page.evaluate(() => {
    const all = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-figure]"));
    return Object.fromEntries([...all].map((one) => [one.dataset.figure, one.textContent ?? ""]));
  });
}

for (const [width, height] of [[390, 844], [844, 390], [667, 360]]) {
  test(`on a screen of ${width}x${height} the figures open and close, the sound goes on, and the picture fills it`, async () => {
    await World.run(async (world) => {
      await world.supervisor();
      await world.relay();
      await world.broadcaster(testPicture("garden"));
      const phone = { viewport: { width, height }, isMobile: true, hasTouch: true };
      const page = await world.viewer(await (await world.browser()).newContext(phone), "garden");

      await page.keyboard.press("i");
      const shown = await until("all figures have values", async () => {
        const now = await figures(page);
        return now.latency?.endsWith(" ms") && now.down !== "0 kbit/s · 0 kB" ? now : null;
      });
      assert.deepEqual(Object.keys(shown).sort(), Object.keys(FIGURES).sort());
      for (const [name, form] of Object.entries(FIGURES)) assert.match(shown[name], form, name);
      assert.ok(await page.isVisible("#overlay"));

      // `tap` fails if something else lies over the button.
      await page.tap("#info");
      assert.ok(await page.isHidden("#overlay"));
      await page.tap("#unmute");
      assert.equal(await page.evaluate(() => document.querySelector("video")?.muted), false);
      await until("nothing asks for it any more", () => page.isHidden("#unmute"));
      await page.tap("#full");
      await until("the player fills the screen", () => page.evaluate(() => document.fullscreenElement?.id === "player"));
      await page.tap("#full");
      await until("it no longer does", () => page.evaluate(() => !document.fullscreenElement));
      await plays(page);
    });
  });
}
