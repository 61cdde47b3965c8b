// Pages whose neighbours break the rules of the data channels: they close the link, say why, and play on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ONE_CHILD_KBPS, World, clockAdvances, inChain, isFedByAnotherThan, plays, stats, testPicture, until } from "./harness.js";

/** @typedef {import("./harness.js").Page} Page */

/**
 * Listens to a page: what it says of links that it lost, and its errors, of which there are to be none.
 * @param {Page} page
 */
function listen(page) {
  /** @type {{ links: string[], errors: string[] }} */
  const heard = { links: [], errors: [] };
  page.on("pageerror", (error) => heard.errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") heard.errors.push(message.text());
    if (message.text().startsWith("link to ")) heard.links.push(message.text());
  });
  return heard;
}

/**
 * Waits until a page has said that its link to this peer ended for such a reason.
 * @param {{ links: string[] }} heard
 * @param {string} peer
 * @param {RegExp} reason
 */
async function hasLost(heard, peer, reason) {
  const start = `link to ${peer.slice(0, 8)} ended: `;
  await until(`it says ${start}${reason}`, () => heard.links.some((line) => line.startsWith(start) && reason.test(line)));
}

for (const [words, trick, reason] of /** @type {const} */ ([
  ["random bytes in the place of chunks", "garbage", /ended: (a )?(chunk|track|part|media time) /],
  ["random bytes where links are spoken of", "garbage-control", /ended: (the )?control /],
])) {
  test(`a page whose parent sends ${words} leaves it, and the page below notices nothing`, async () => {
    await World.run(async (world) => {
      await world.supervisor();
      const liar = await world.liar(trick, ONE_CHILD_KBPS);
      await world.broadcaster(testPicture("garden"), ONE_CHILD_KBPS);
      const browser = await world.browser();
      const open = () => world.viewer(browser, "garden", `?uplink_kbps=${ONE_CHILD_KBPS}`);
      const [upper, lower] = await inChain([await open(), await open()]);
      assert.equal(upper.parent, liar);
      const [above, below] = [listen(upper.page), listen(lower.page)];

      world.signal("liar", "SIGUSR1");
      await hasLost(above, liar, reason);
      await isFedByAnotherThan(upper.page, liar);
      // Longer than what any page has in stock.
      await Promise.all([upper, lower].map(({ page }) => clockAdvances(page, 3_000)));
      assert.deepEqual([...above.errors, ...below.errors, ...below.links.filter((line) => reason.test(line))], []);
    });
  });
}

test("a page whose parent sends its chunks in the wrong order stays, and plays on", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    const liar = await world.liar("reorder");
    await world.broadcaster(testPicture("garden"));
    const page = await world.viewer(await world.browser(), "garden");
    const heard = listen(page);
    assert.equal((await stats(page)).parent, liar);

    world.signal("liar", "SIGUSR1");
    await world.said('"lied":true');
    await clockAdvances(page, 3_000);
    const blamed = heard.links.filter((line) => line.includes(liar.slice(0, 8)) && !line.includes("nothing was heard"));
    assert.deepEqual([...heard.errors, ...blamed], []);
  });
});

/** Makes a page offer as pages did once: it opens both channels, and says nothing of how. Runs in the page, before all of its scripts. */
function offersAsBefore() {
  const { createDataChannel } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.createDataChannel = function (label, { ordered = true } = {}) {
    return createDataChannel.call(this, label, { ordered });
  };
}

test("a page that opens the media channel itself, as pages did once, is fed by a broadcaster, and by a page of today", async () => {
  await World.run(async (world) => {
    await world.supervisor('default_topology = { kind = "linked-list" }\n');
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    const today = await world.viewer(browser, "garden");
    const context = await browser.newContext();
    await context.addInitScript(offersAsBefore);
    const before = await world.viewer(context, "garden");
    const [upper, lower] = await inChain([today, before]);
    assert.equal(lower.page, before);
    await clockAdvances(before, 3_000);

    await upper.page.close(); // now it hangs below the broadcaster
    await until("it has another parent", async () => ![null, upper.peer].includes((await stats(before)).parent));
    await clockAdvances(before, 3_000);
  });
});

/** Makes a browser refuse the first connections, as one does that has too many. Runs in the page, before all of its scripts. */
function makesNoConnectionAtFirst() {
  let refused = 0;
  globalThis.RTCPeerConnection = new Proxy(RTCPeerConnection, {
    construct(target, given) {
      if (refused++ < 4) throw new DOMException("there are too many");
      return Reflect.construct(target, given);
    },
  });
}

test("a page whose browser makes no connection for now asks for a parent again, and plays once there is one", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    await world.broadcaster(testPicture("garden"));
    const context = await (await world.browser()).newContext();
    await context.addInitScript(makesNoConnectionAtFirst);
    const page = await world.open(context, "/watch/garden");
    const heard = listen(page);
    await plays(page);
    assert.match(heard.links[0] ?? "", /this browser makes no connection: .*too many/);
    assert.deepEqual(heard.errors, []);
  });
});

/**
 * Gives a page `sayToAll`, which says something over each of its channels, or nothing if there is nothing to be said; it is
 * handed what was said first over that channel. Runs in the page, before all of its scripts.
 */
function sayToAllWhenTold() {
  /** @type {Map<RTCDataChannel, any>} */
  const said = new Map();
  const { createDataChannel } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.createDataChannel = function (...given) {
    const channel = createDataChannel.apply(this, given);
    said.set(channel, undefined);
    return channel;
  };
  const send = RTCDataChannel.prototype.send;
  RTCDataChannel.prototype.send = function (/** @type {any} */ message) {
    if (!said.get(this)) said.set(this, message);
    send.call(this, message);
  };
  Object.assign(globalThis, {
    sayToAll(/** @type {(first: any) => any} */ what) {
      for (const [channel, first] of said) {
        const message = what(first);
        if (!message || channel.readyState !== "open") continue;
        try {
          send.call(channel, message);
        } catch (error) {
          console.info("unsaid:", String(error)); // longer than what a neighbour that is no page announces
        }
      }
    },
  });
}

const ATTACKS_ON_NATIVES = /** @type {const} */ ([
  ["what is of another protocol", 'sayToAll(() => new TextEncoder().encode("GET / HTTP/1.1"))', /but this peer speaks version 1/],
  ["its first words again", "sayToAll((first) => first)", /Hello came out of order/],
]);

for (const [words, attack, reason] of ATTACKS_ON_NATIVES) {
  test(`a relay or broadcaster whose child says ${words} lets go of it, says why, and feeds the other on`, async () => {
    await World.run(async (world) => {
      await world.supervisor();
      await world.relay();
      await world.broadcaster(testPicture("garden"));
      const browser = await world.browser();
      const context = await browser.newContext();
      await context.addInitScript(sayToAllWhenTold);
      const attacker = await world.viewer(context, "garden");
      const other = await world.viewer(browser, "garden");
      const [heard, { peer }] = [listen(other), await stats(attacker)];
      const { peer: page } = await stats(other);
      await until("no page feeds it", async () => ![null, page].includes((await stats(attacker)).parent));
      await attacker.evaluate(attack);
      await until("its parent says why", () => world.log.some(
        (line) => line.startsWith("edge-") && reason.test(line) && line.includes(peer),
      ));
      await clockAdvances(other, 3_000);
      assert.deepEqual(heard.errors, []);
    });
  });
}

test("a page that sends too long a message loses its parent and its child, which play on, and others hear nothing of it", async () => {
  await World.run(async (world) => {
    await world.supervisor('default_topology = { kind = "linked-list" }\n');
    await world.broadcaster(testPicture("garden"));
    const browser = await world.browser();
    const pages = [];
    for (let i = 0; i < 4; i += 1) {
      const context = await browser.newContext();
      await context.addInitScript(sayToAllWhenTold);
      pages.push(await world.viewer(context, "garden"));
    }
    const [parent, attacker, child, other] = await inChain(pages);
    const heard = [parent, child, other].map(({ page }) => listen(page));
    const reason = /of 200000 bytes, but at most 16384 are allowed$/;

    await attacker.page.evaluate("sayToAll(() => new Uint8Array(200_000))");
    for (const neighbour of heard.slice(0, 2)) await hasLost(neighbour, attacker.peer, reason);
    // Longer than what any page has in stock. Who feeds whom is open: the attacker is honest again, and has a place.
    await Promise.all([parent, child, other].map(({ page }) => clockAdvances(page, 3_000)));
    for (const { page } of [parent, child, other]) await until("it has a parent", async () => (await stats(page)).parent);
    assert.deepEqual(heard.flatMap(({ errors }) => errors), []);
    assert.deepEqual(heard[2].links.filter((line) => reason.test(line)), []);
  });
});
