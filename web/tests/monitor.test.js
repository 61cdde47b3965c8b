// The monitor page, with the real programs: what it shows is what is, and what it does is done.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { PATIENCE, World, clockAdvances, plays, sleep, stats, testPicture, until } from "./harness.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PASSWORD = "correct horse";

/** @typedef {import("../app/monitor/api.js").Member} Member */
/** @typedef {import("../app/monitor/api.js").Stream} Stream */
/** @typedef {import("playwright-core").Page} Page */

/** @param {Page} page */
async function accessibilityFaults(page) {
  await page.evaluate(AXE); // through the driver: the page's policy lets no foreign script in
  const result = await page.evaluate(() => /** @type {any} */ (window).axe.run(document, { resultTypes: ["violations"] }));
  return result.violations.map((/** @type {any} */ v) => `${v.id}: ${v.nodes.map((/** @type {any} */ n) => n.target).join(", ")}`);
}

/**
 * The monitor, logged in.
 * @param {World} world
 * @param {import("playwright-core").Browser} browser
 */
async function monitor(world, browser) {
  await world.setPassword(PASSWORD);
  const page = await world.open(browser, "/monitor");
  /** @type {string[]} */
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.fill("#password", PASSWORD);
  await page.press("#password", "Enter");
  await page.waitForSelector(".node", { timeout: PATIENCE });
  return { page, complaints };
}

/** @param {Page} page @returns {Promise<Member[]>} */
const members = (page) => page.evaluate("window.monitor.members()");

/** @param {Page} page @param {number} count */
function drawn(page, count) {
  return until(`${count} are drawn`, async () => (await page.locator(".node[data-peer]").count()) === count);
}

test("nobody sees anything without the password, and with it the tree", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    await world.viewer(browser, "garden");
    await world.setPassword(PASSWORD);
    const page = await world.open(browser, "/monitor");
    await page.waitForSelector("#log-in-form", { timeout: PATIENCE });
    assert.deepEqual(await accessibilityFaults(page), []);
    await page.fill("#password", "a wrong guess");
    await page.press("#password", "Enter");
    await until("the page says that it is wrong", async () => (await page.textContent("#log-in-problem"))?.includes("not the password"));
    assert.equal(await page.locator(".node").count(), 0);

    const { page: right, complaints } = await monitor(world, browser);
    await drawn(right, 3);
    const kinds = (await members(right)).map(({ component }) => component).sort();
    assert.deepEqual(kinds, ["broadcaster", "receiver", "relay"]);
    await until("the viewer's figures are there", async () => (await members(right)).some((m) => m.component === "receiver" && m.report?.latency_ms));
    await until("the boxes say how they are", async () => (await right.textContent("#boxes"))?.includes("disk free"));
    await right.click('.node[aria-label^="viewer"]');
    await right.waitForSelector("#peer-facts dd");
    assert.match((await right.textContent("#peer-facts")) ?? "", /Live latency/);
    assert.deepEqual(await accessibilityFaults(right), []);
    assert.deepEqual(complaints, []);
  });
});

test("a viewer that comes is drawn, and one that is killed is gone from the picture", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    const { page } = await monitor(world, browser);
    await drawn(page, 1);
    const said = world.headless("crowd", "--viewers", "1");
    await drawn(page, 2);
    const [peer] = await until("it has said who it is", () => (said.size ? [...said.keys()] : null));
    await world.kill("crowd", "SIGKILL");
    await drawn(page, 1);
    await until("the page tells of it", async () => (await page.textContent("#happenings"))?.includes(`${"headless"} is gone without a word`));
    assert.equal((await members(page)).some((member) => member.peer === peer), false);
  });
});

test("page, headless receiver and monitor have the same figures", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    const viewer = await world.viewer(browser, "garden");
    const said = world.headless("crowd", "--viewers", "1");
    const { page } = await monitor(world, browser);
    // The picture stands still for a while in both: their broadcaster does.
    await sleep(2_000);
    world.signal("broadcaster", "SIGSTOP");
    await sleep(1_500);
    world.signal("broadcaster", "SIGCONT");
    await until("both have stalled", async () => (await stats(viewer)).stalls > 0 && [...said.values()][0]?.stalls > 0);
    await until("the figures agree", async () => {
      const seen = (await members(page)).filter(({ component }) => component === "receiver");
      const [own] = [...said.values()];
      const browsers = await stats(viewer);
      const headless = seen.find(({ peer }) => peer === own.peer)?.report;
      const pages = seen.find(({ peer }) => peer !== own.peer)?.report;
      const same = headless?.stalls === own.stalls && headless?.stalled_ms === own.stalled_ms;
      return same && pages?.stalls === browsers.stalls && pages?.stalled_ms === Math.trunc(browsers.stalledMs);
    });
  });
});

test("failures are induced where they are allowed, and their count is the receivers' own", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden", "allow_failures = true"));
    const browser = await world.browser();
    const said = world.headless("crowd", "--viewers", "6");
    const { page, complaints } = await monitor(world, browser);
    await drawn(page, 8);
    await until("all play", () => said.size === 6 && [...said.values()].every(({ playing }) => playing));
    await sleep(3_000); // whatever stalled at the beginning has been reported
    const before = new Map([...said].map(([peer, { stalls }]) => [peer, stalls]));
    await page.selectOption("#trial-how", "kill");
    await page.fill("#trial-seconds", "4");
    await page.click("#trial-start");
    await page.fill("#ask-field input", "graden");
    await page.click("#ask-do");
    await until("a wrong name is refused", async () => (await page.textContent("#ask-problem"))?.includes("garden"));
    await page.fill("#ask-field input", "garden");
    await page.click("#ask-do");
    await until("it is over", async () => (await page.textContent("#trial-state"))?.startsWith("Done"));
    assert.deepEqual(await accessibilityFaults(page), []);

    const { id } = await page.evaluate(() => ({ id: /** @type {any} */ (window).monitor.stream().stream }));
    const trial = await page.evaluate(async (stream) => (await fetch(`/api/streams/${stream}/failures`)).json(), id);
    const failed = [...said.values()].filter((figures) => figures.failed);
    assert.ok(failed.length > 0);
    assert.equal(trial.failures, failed.length);
    const victims = trial.lives.filter((/** @type {any} */ life) => life.failed).map((/** @type {any} */ life) => life.peer);
    assert.deepEqual(victims.sort(), failed.map(({ peer }) => peer).sort());
    const survivors = [...said.values()].filter((figures) => !figures.failed);
    const own = survivors.reduce((sum, { peer, stalls }) => sum + stalls - (before.get(peer) ?? 0), 0);
    const counted = trial.lives.filter((/** @type {any} */ life) => !life.failed).reduce((/** @type {number} */ sum, /** @type {any} */ l) => sum + l.stalls, 0);
    assert.equal(counted, own);

    const download = page.waitForEvent("download");
    await page.click("#trial-csv");
    const csv = readFileSync(await (await download).path(), "utf8");
    assert.match(csv, /^at_ms,viewers,failures,stalled,total_stalled_ms,average_stalled_ms$/m);
    const picture = page.waitForEvent("download");
    await page.click("#trial-png");
    const png = readFileSync(await (await picture).path());
    assert.equal(png.subarray(1, 4).toString(), "PNG");
    // The browser itself says so of the wrong name.
    assert.deepEqual(complaints, ["Failed to load resource: the server responded with a status of 409 (Conflict)"]);
  });
});

test("a page told to fail stands still and says why, and one in a stream that does not allow it goes on", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden", "allow_failures = true") + testPicture("door"));
    const browser = await world.browser();
    const viewer = await world.viewer(browser, "garden");
    const other = await world.viewer(browser, "door");
    const { page } = await monitor(world, browser);
    const order = async (/** @type {string} */ name, /** @type {import("playwright-core").Page} */ watcher) => {
      const plan = { name, distribution: { kind: "uniform" }, rate: 5, seconds: 1, how: "freeze" };
      return page.evaluate(
        async ([stream, body]) => {
          const headers = { "Content-Type": "application/json" };
          return (await fetch(`/api/streams/${stream}/failures`, { method: "POST", headers, body })).status;
        },
        [String((await stats(watcher)).stream), JSON.stringify(plan)],
      );
    };
    assert.equal(await order("door", other), 403);
    assert.ok((await order("garden", viewer)) < 300);
    await until("it says why", async () => (await viewer.textContent("#message-words"))?.includes("as a test"));
    const tree = async (/** @type {Page} */ watcher) => {
      const url = `/api/streams/${(await stats(watcher)).stream}/tree`;
      return /** @type {{ members: Member[] }} */ (await page.evaluate(async (at) => (await fetch(at)).json(), url)).members;
    };
    const failing = (/** @type {Member[]} */ seen) => seen.some(({ component, state }) => component === "receiver" && state !== "well");
    await until("the supervisor notices", async () => failing(await tree(viewer)));
    assert.equal(failing(await tree(other)), false);
    await clockAdvances(other);
  });
});

test("the operator arranges a stream anew while everybody watches", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    const said = world.headless("crowd", "--viewers", "3");
    const { page } = await monitor(world, browser);
    await until("all play", () => said.size === 3 && [...said.values()].every(({ playing }) => playing));
    const before = [...said.values()].reduce((sum, { stalls }) => sum + stalls, 0);
    await page.selectOption("#topology", "linked-list");
    await page.click("#topology-form button");
    await until("they are fed one by another", () => [...said.values()].map(({ depth }) => depth).sort().join() === "1,2,3");
    await until("the monitor shows it", async () => {
      const parents = (await members(page)).map(({ parent }) => parent).filter(Boolean);
      return new Set(parents).size === 3;
    });
    await sleep(3_000);
    const after = [...said.values()].reduce((sum, { stalls }) => sum + stalls, 0);
    assert.equal(after, before, "make before break");
  });
});

test("a supervisor that is away is told, and heals", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    const { page } = await monitor(world, await world.browser());
    await page.waitForSelector('#link[data-state="connected"]');
    await world.kill("supervisor", "SIGKILL");
    await page.waitForSelector('#link[data-state="lost"]', { timeout: PATIENCE });
    await world.supervisor();
    // It knows nobody any more: whoever was logged in logs in again, and sees the stream that went on.
    await page.waitForSelector("#log-in-form", { state: "visible", timeout: PATIENCE });
    await page.fill("#password", PASSWORD);
    await page.press("#password", "Enter");
    await page.waitForSelector('#link[data-state="connected"]', { timeout: PATIENCE });
    await drawn(page, 1);
  });
});

test("the keyboard suffices: along the tree, into a peer and out", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    world.headless("crowd", "--viewers", "2");
    const { page } = await monitor(world, await world.browser());
    await drawn(page, 3);
    await page.focus('.node[tabindex="0"]');
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await until("a viewer is open", async () => (await page.textContent("#peer-title"))?.startsWith("Viewer"));
    await page.keyboard.press("Escape");
    await until("it is closed", async () => (await page.textContent("#peer-title")) === "Peer");
  });
});

test("nothing on the page is pushed aside while viewers come and go", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    world.headless("crowd", "--viewers", "3");
    const { page } = await monitor(world, browser);
    await drawn(page, 5);
    await until("the boxes say how they are", async () => ((await page.textContent("#boxes"))?.match(/disk free/g) ?? []).length === 2);
    await until("the viewers' figures are there", async () => !(await page.textContent("#figures"))?.includes("–"));
    await page.evaluate(() => {
      /** @type {string[]} */
      const shifts = [];
      Object.assign(window, { shifts });
      new PerformanceObserver((list) => {
        for (const entry of /** @type {any[]} */ (list.getEntries())) {
          const nodes = entry.sources.map((/** @type {any} */ { node }) => node?.id || node?.className || node?.nodeName);
          shifts.push(`${entry.value}: ${nodes}`);
        }
      }).observe({ type: "layout-shift" });
    });
    // What is out of sight does not count: look at all of it, while somebody comes and somebody is gone.
    world.headless("more", "--viewers", "2");
    await drawn(page, 7);
    for (const place of ["#charts", "#happenings", "#trial-form, #trial-forbidden"]) {
      await page.locator(place).first().scrollIntoViewIfNeeded();
      await sleep(1_500);
    }
    await world.kill("more", "SIGKILL");
    await drawn(page, 5);
    await page.locator("#happenings").scrollIntoViewIfNeeded();
    await until("the page tells of it", async () => (await page.textContent("#happenings"))?.includes("gone without a word"));
    await sleep(1_000);
    assert.deepEqual(await page.evaluate("window.shifts"), []);
  });
});

test("the operator makes a join token, takes a link back and lifts a block, and the page stays accessible", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden", 'access = "invited"'));
    const browser = await world.browser();
    const { page, complaints } = await monitor(world, browser);
    await page.selectOption("#invite-for", "7200");
    await page.click("#invite-form button[type=submit]");
    const link = await until("there is a link", async () => (await page.textContent("#invite-link")) || null);
    const viewer = await world.open(await world.browser(), `/watch/garden#${link.split("#")[1]}`);
    await plays(viewer);

    await page.click("#invitations-open");
    await until("one watches by it", async () => (await page.textContent("#invitations tbody"))?.includes("garden"));
    assert.deepEqual(await accessibilityFaults(page), []);
    await page.click("#invitations button");
    await page.click("#ask-do");
    await until("the viewer is told", async () => (await viewer.textContent("#message-words"))?.includes("taken back"));
    await until("the list says so", async () => (await page.textContent("#invitations"))?.includes("taken back just now"));

    await page.click("#token-form button");
    await until("it is shown", async () => (await page.textContent("#token-text"))?.startsWith("own1-"));
    await until("it is listed", async () => (await page.textContent("#tokens"))?.includes("open for"));
    await until("the broadcaster is let in", async () => (await page.textContent("#services"))?.includes("broadcaster"));
    assert.deepEqual(await accessibilityFaults(page), []);

    const peers = await page.evaluate(async () => (await (await fetch("/api/peers")).json()).peers);
    const { peer } = peers.find((/** @type {any} */ one) => one.component === "receiver");
    await page.evaluate(async (id) => fetch(`/api/peers/${id}/block`, { method: "POST" }), peer);
    await until("it is listed", async () => (await page.textContent("#blocks"))?.includes("viewer"));
    await page.click("#blocks button");
    await until("nobody is blocked", async () => (await page.textContent("#blocks"))?.includes("Nobody is blocked"));
    assert.deepEqual(complaints, []);
  });
});
