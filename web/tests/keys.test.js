// Who may watch, and by which key: the page in a real browser against the real supervisor.
import assert from "node:assert/strict";
import { test } from "node:test";

import { World, clockAdvances, plays, sleep, testPicture, until } from "./harness.js";

const RSA_ALONE = '[security]\nsuites = ["rsa"]\n';

/** What the browser keeps for the page. Runs in the page. */
async function keptKeys() {
  const database = await new Promise((resolve, reject) => {
    const request = indexedDB.open("ownstream", 1);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const store = database.transaction("keys").objectStore("keys");
  const names = ["elliptic key", "RSA key"];
  const values = await Promise.all(names.map((name) => new Promise((resolve) => {
    const request = store.get(name);
    request.onsuccess = () => resolve(request.result ?? null);
  })));
  database.close();
  return values.map((pair) => pair && { name: pair.privateKey.algorithm.name, extractable: pair.privateKey.extractable });
}

/** @param {import("playwright-core").Page} page */
function message(page) {
  return page.locator("#message-words").textContent();
}

test("a page's private key is one that no script can read, and it is the same one tomorrow", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    const page = await world.viewer(await world.browser(), "garden");
    assert.deepEqual(await page.evaluate(keptKeys), [{ name: "X25519", extractable: false }, null]);
    await page.reload();
    await plays(page);
    assert.deepEqual(await page.evaluate(keptKeys), [{ name: "X25519", extractable: false }, null]);
  });
});

test("where RSA alone is taken, a page makes an RSA key, and a page over plain http is told why it cannot", async () => {
  await World.run(async (world) => {
    world.suite = "rsa";
    await world.supervisor(RSA_ALONE);
    await world.relay();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser(["--host-resolver-rules=MAP edge.test 127.0.0.1"]);
    const page = await world.viewer(browser, "garden");
    assert.deepEqual((await page.evaluate(keptKeys))[1], { name: "RSA-OAEP", extractable: false });

    const plain = await world.open(browser, "/watch/garden", "edge.test");
    await until("it says why", async () => (await message(plain))?.includes("only over https"));
    await plays(page);
  });
});

test("over https with a certificate that the supervisor made, page and services meet, and the page warns of nothing", async () => {
  await World.run(async (world) => {
    world.tls = true;
    await world.supervisor();
    await world.relay();
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    const strict = await browser.newContext();
    await assert.rejects(world.open(strict, "/watch/garden"), /ERR_CERT_AUTHORITY_INVALID/);
    const page = await world.viewer(await browser.newContext({ ignoreHTTPSErrors: true }), "garden");
    await clockAdvances(page);
    assert.equal(await page.evaluate("isSecureContext && location.protocol"), "https:");
    assert.equal(await page.isVisible("#plain-http"), false);
    assert.equal((await page.evaluate(keptKeys))[0]?.extractable, false);
  });
});

test("a stream for the invited plays by its link alone, and not by one that has run out or was changed", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden", 'access = "invited"'));
    const browser = await world.browser();
    const stranger = await world.open(browser, "/watch/garden");
    await until("the stranger is told", async () => (await message(stranger))?.includes("invited"));

    const short = await world.invite("garden", "1s");
    const link = await world.invite("garden", "1h");
    const guest = await world.open(browser, link);
    await plays(guest);

    await sleep(1_500);
    const late = await world.open(browser, short);
    await until("the late one is told", async () => (await message(late))?.includes("invitation ended"));
    const last = link.slice(-3, -2) === "A" ? "B" : "A";
    const forger = await world.open(browser, link.slice(0, -3) + last + link.slice(-2));
    await until("the forger is told", async () => (await message(forger))?.includes("Ask for a new one"));
    await plays(guest);
  });
});
