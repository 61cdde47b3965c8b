// The page's socket to a supervisor that does not do as it should: a door in front of the real one sees to that.
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { PATIENCE, World, until } from "./harness.js";

/**
 * Passes everything on to the world's supervisor; peers' sockets as it is told.
 * @param {World} world
 * @param {(socket: import("node:net").Socket, pass: () => import("node:net").Socket) => void} onPeer
 */
async function door(world, onPeer) {
  /** @type {Set<import("node:net").Socket>} */
  const sockets = new Set();
  const hold = (/** @type {import("node:net").Socket} */ socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    return socket;
  };
  const server = createServer((socket) => {
    hold(socket).once("data", (first) => {
      const pass = () => {
        const further = hold(connect(world.port, "127.0.0.1"));
        further.write(first);
        socket.pipe(further).pipe(socket);
        return further;
      };
      if (first.toString("latin1").startsWith("GET /peer")) onPeer(socket, pass);
      else pass();
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  const close = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { url: `http://127.0.0.1:${address.port}/`, close };
}

test("an attempt that nobody answers is given up, and the next one connects", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    let attempts = 0;
    const { url, close } = await door(world, (_, pass) => {
      attempts += 1;
      if (attempts > 1) pass();
    });
    try {
      const page = await (await world.browser()).newPage();
      await page.goto(url);
      await page.waitForSelector('#supervisor[data-state="connected"]', { timeout: PATIENCE });
      assert.ok(attempts >= 2);
    } finally {
      close();
    }
  });
});

test("a supervisor that hangs up on whom it took in is asked less and less often", async () => {
  await World.run(async (world) => {
    await world.supervisor();
    /** @type {number[]} */
    const attempts = [];
    let accepted = 0;
    const { url, close } = await door(world, (socket, pass) => {
      attempts.push(performance.now());
      const further = pass();
      let said = "";
      further.on("data", (data) => {
        said += data.toString("latin1"); // what a server says is not masked
        if (!said.includes("PEER_ACCEPTED")) return;
        accepted += 1;
        // It reads that first: what was passed on before the end arrives before it.
        further.destroy();
        socket.end();
      });
    });
    try {
      const page = await (await world.browser()).newPage();
      await page.goto(url);
      await until("it has come five times", () => attempts.length >= 5);
      assert.ok(accepted >= 4, `taken in ${accepted} times`);
      // The fourth pause is eight times as long as the first, and at least half of it; a timer is never early by more
      // than the millisecond it is rounded to.
      assert.ok(attempts[4] - attempts[3] >= 999, attempts.join(", "));
    } finally {
      close();
    }
  });
});
