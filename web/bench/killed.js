// How soon a viewer that is killed is gone from the monitor's picture: SIGKILL, and then its mark has begun to fade. Its
// children and its supervisor's socket end with it, so this is the way from the supervisor to the page.
//
// usage: PROFILE=release node web/bench/killed.js [VIEWERS]     (after `make build`)
import { World, sleep, testPicture, until } from "../tests/harness.js";

const VIEWERS = Number(process.argv[2] ?? 20);
const PASSWORD = "correct horse";
/** Between two deaths, ms: no multiple of a second, and the supervisor's beat falls anywhere. */
const BETWEEN = 730;

await World.run(async (world) => {
  await world.supervisor();
  await world.relay();
  await world.broadcaster(testPicture("garden"));
  await world.setPassword(PASSWORD);
  const page = await world.open(await world.browser(), "/monitor");
  await page.fill("#password", PASSWORD);
  await page.press("#password", "Enter");
  const said = Array.from({ length: VIEWERS }, (_, i) => world.headless(`viewer${i}`, "--viewers", "1"));
  await until("all play", () => said.every((figures) => [...figures.values()][0]?.playing));
  const names = said.map((figures) => /** @type {string} */ ([...figures.keys()][0]));
  const isDrawn = (/** @type {string} */ peer) => page.locator(`.node[data-peer="${peer}"]`).count();
  await until("all are drawn", async () => (await Promise.all(names.map(isDrawn))).every(Boolean));
  await page.evaluate(() => {
    /** When each mark began to fade. @type {Record<string, number>} */
    const gone = {};
    const seen = new MutationObserver((changes) => {
      for (const { oldValue } of changes) if (oldValue !== null) gone[oldValue] ??= Date.now();
    });
    seen.observe(/** @type {Element} */ (document.querySelector("#tree")), { subtree: true, attributeFilter: ["data-peer"], attributeOldValue: true });
    Object.assign(window, { gone });
  });
  const took = [];
  for (const [i, peer] of names.entries()) {
    const at = Date.now();
    world.signal(`viewer${i}`, "SIGKILL");
    took.push((await until("its mark fades", () => page.evaluate((id) => /** @type {any} */ (window).gone[id], peer))) - at);
    await sleep(BETWEEN);
  }
  took.sort((a, b) => a - b);
  console.log(`${VIEWERS} viewers killed: gone from the picture after ${took[VIEWERS >> 1]} ms (half of them), ${took.at(-1)} ms at most`);
});
