// A supervisor's monitor API with a crowd that was made up: for what the page costs with many peers, and how it looks.
// Tests of what the page says use the real one.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const WEB = fileURLToPath(new URL("..", import.meta.url));
/** @type {Record<string, string>} */
const KINDS = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".wasm": "application/wasm" };
const STREAM = "00112233445566778899aabbccddeeff";
const BROWSERS = ["Chrome/156", "Firefox/153", "Version/18.4 Safari", "Edg/156"];
const RELAYS = ["attic", "cellar", "garage", "uncle-joe", "library", "school"];

/** A generator of numbers that are the same in each run (mulberry32). @param {number} seed */
function numbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A crowd that lives. */
export class Crowd {
  #random;
  #made = 0;
  /** @type {Record<string, object[]> | undefined} */
  #lists;
  /** @type {Map<string, any>} */
  members = new Map();
  totals = {
    joins: 0, leaves: 0, disconnections: 0, takeovers: 0, moves: 0, stalls: 0, stalled_ms: 0, bytes_by_broadcaster: 0,
    bytes_by_relays: 0, bytes_by_viewers: 0, latency_counts: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], latency_sum_ms: 0,
  };

  /** @param {{ peers: number, arity?: number, relays?: number, seed?: number }} wish */
  constructor({ peers, arity = 0, relays = 0, seed = 1 }) {
    this.#random = numbers(seed);
    this.arity = arity;
    const root = this.#make("broadcaster", null);
    root.name = "hen-house";
    root.health = { board: "Raspberry Pi 4 Model B Rev 1.4", temperature_c: 61.5, throttled: false, under_voltage: true, under_voltage_once: true, memory_free: 1.6e9, memory_total: 4e9, disk_free: 2e10, disk_total: 3.1e10, load: 0.6, wifi_dbm: -61, uptime_s: 189_000, encodings: [{ stream: "garden", encoder: "vp8enc", camera_away: false, tried: [
      { encoder: "v4l2vp8enc", of: "hardware, by its V4L2 driver", works: false, outcome: "it is not there" },
      { encoder: "v4l2h264enc", of: "hardware, by its V4L2 driver", works: false, outcome: "of 10 test pictures 3 came out right" },
      { encoder: "vp8enc", of: "software", works: true, outcome: "41 pictures/s, 0.73 cores" },
    ] }] };
    for (let i = 0; i < relays; i++) {
      const relay = this.#make("relay", root.peer);
      relay.name = RELAYS[i % RELAYS.length] + (i < RELAYS.length ? "" : `-${i}`);
      relay.health = { board: "Intel NUC", temperature_c: 48 + i, memory_free: 6e9, memory_total: 8e9, disk_free: 1e11, disk_total: 2.5e11, load: 0.2, uptime_s: 1_900_000 };
    }
    while (this.members.size < peers) this.join();
  }

  /** @param {string} component @param {string | null} parent @returns {any} */
  #make(component, parent) {
    const peer = (this.#made++ * 2654435761 % 2 ** 32).toString(16).padStart(8, "0").repeat(4);
    const software = component === "receiver" ? `receiver page, ${BROWSERS[this.#made % BROWSERS.length]}` : `edge-${component} 0.1.0`;
    const member = {
      peer, component, name: null, software, parent, backup: null, state: "well", since_us: Date.now() * 1000 - this.#random() * 3.6e9,
      report: { depth: 0, children: 0, latency_ms: 300 + this.#random() * 160, hold_ms: 350, stalls: 0, stalled_ms: 0, down_kbps: 1064, up_kbps: 0 },
      health: /** @type {any} */ (null),
    };
    this.members.set(peer, member);
    this.totals.joins += 1;
    return member;
  }

  /** Who feeds whom. */
  #children() {
    const children = new Map([...this.members.keys()].map((peer) => [peer, 0]));
    for (const { parent } of this.members.values()) if (parent) children.set(parent, (children.get(parent) ?? 0) + 1);
    return children;
  }

  #place() {
    const children = this.#children();
    const all = [...this.members.values()];
    if (this.arity) return all.find(({ peer }) => (children.get(peer) ?? 0) < this.arity).peer;
    const hubs = all.filter(({ component, peer }) => component === "relay" && (children.get(peer) ?? 0) < 60);
    const any = hubs.length ? hubs : all.filter(({ component, peer }) => component === "receiver" && (children.get(peer) ?? 0) < 3);
    return (any[Math.floor(this.#random() * any.length)] ?? all[0]).peer;
  }

  join() {
    const member = this.#make("receiver", this.#place());
    const others = [...this.members.keys()];
    member.backup = others[Math.floor(this.#random() * others.length)];
    return member;
  }

  /** A second passes: half of all report, some come, go, move and stall. */
  live() {
    /** @type {Set<any>} */
    const changed = new Set();
    const gone = [];
    /** @type {object[]} */
    const happenings = [];
    const children = this.#children();
    const tell = (/** @type {object} */ what) => happenings.push({ at_s: Math.floor(Date.now() / 1000), stream: STREAM, ...what });
    for (const member of this.members.values()) {
      if (this.#random() < 0.5) continue;
      const { report } = member;
      const feeds = children.get(member.peer) ?? 0;
      member.report = { ...report, children: feeds, up_kbps: feeds * 1064, latency_ms: Math.max(200, report.latency_ms + (this.#random() - 0.5) * 40) };
      if (member.component === "receiver" && this.#random() < 0.004) {
        Object.assign(member.report, { stalls: report.stalls + 1, stalled_ms: report.stalled_ms + 400 });
        this.totals.stalls += 1;
        tell({ event: "stalled", peer: member.peer, times: 1 });
      }
      changed.add(member);
    }
    const leaves = [...this.members.values()].filter(({ component, peer }) => component === "receiver" && !children.get(peer));
    for (let i = 0; i < Math.ceil(this.members.size / 150); i++) {
      const leaver = leaves[Math.floor(this.#random() * leaves.length)];
      if (leaver && this.members.delete(leaver.peer)) {
        gone.push(leaver.peer);
        changed.delete(leaver);
        this.totals.disconnections += 1;
        tell({ event: "lost", peer: leaver.peer });
      }
      const comer = this.join();
      changed.add(comer);
      tell({ event: "joined", peer: comer.peer });
      const mover = leaves[Math.floor(this.#random() * leaves.length)];
      if (mover && this.members.has(mover.peer)) {
        const from = mover.parent;
        mover.parent = this.#place();
        if (mover.parent === mover.peer) mover.parent = from;
        this.totals.takeovers += 1;
        changed.add(mover);
        tell({ event: "took-over", peer: mover.peer, from, to: mover.parent });
      }
    }
    return { changed: [...changed], gone, happenings };
  }

  /** The last quarter of an hour. */
  history() {
    const viewers = [...this.members.values()].filter(({ component }) => component === "receiver").length;
    return Array.from({ length: 180 }, (_, i) => {
      const grown = Math.round(viewers * Math.min(1, (i + 20) / 150));
      return {
        at_us: (Date.now() - (180 - i) * 5_000) * 1_000, viewers: grown, p50_ms: 380 + Math.round(this.#random() * 20), p99_ms: 440 + Math.round(this.#random() * 60),
        stalls: this.#random() < 0.1 ? 1 : 0, disconnections: this.#random() < 0.2 ? 1 : 0, takeovers: this.#random() < 0.15 ? 2 : 0,
        broadcaster_kbps: 5_320, relays_kbps: grown * 900, viewers_kbps: grown * 164,
      };
    });
  }

  /** Who may come in. @param {string} what */
  admitted(what) {
    const now = Math.floor(Date.now() / 1000);
    const hex = (/** @type {number} */ digits) => Array.from({ length: digits }, () => Math.floor(this.#random() * 16).toString(16)).join("");
    this.#lists ??= {
      invitations: [
        { id: hex(32), stream: STREAM, name: "garden", made_s: now - 500_000, not_after_s: now - 20_000, revoked_s: null, watching: 0 },
        { id: hex(32), stream: STREAM, name: "garden", made_s: now - 90_000, not_after_s: now + 514_000, revoked_s: now - 4_000, watching: 0 },
        { id: hex(32), stream: STREAM, name: "garden", made_s: now - 7_000, not_after_s: now + 79_000, revoked_s: null, watching: 14 },
        { id: hex(32), stream: STREAM, name: "hen house, from the inside", made_s: now - 40, not_after_s: now + 7_160, revoked_s: null, watching: 1 },
      ],
      tokens: [
        { id: hex(8), role: "broadcaster", made_s: now - 300_000, expires_s: now - 213_000, used_by: hex(64) },
        { id: hex(8), role: "relay", made_s: now - 86_000, expires_s: now + 400, used_by: null },
      ],
      peers: [
        { fingerprint: hex(64), role: "broadcaster", name: "hen-house", enrolled_s: now - 299_000, revoked_s: null },
        { fingerprint: hex(64), role: "relay", name: "attic", enrolled_s: now - 250_000, revoked_s: null },
        { fingerprint: hex(64), role: "relay", name: "", enrolled_s: now - 240_000, revoked_s: now - 90_000 },
      ],
      blocks: [{ fingerprint: hex(64), component: "receiver", name: null, software: "receiver page, Chrome/156", since_s: now - 12_000 }],
    };
    return this.#lists[what] ?? { token: `own1-${hex(66)}`, role: "relay", expires_s: now + 86_400 };
  }

  stream() {
    const viewers = [...this.members.values()].filter(({ component }) => component === "receiver").length;
    const broadcaster = [...this.members.keys()][0];
    const topology = this.arity ? { kind: "tree", arity: this.arity } : { kind: "relay-first" };
    const relays = [...this.members.values()].filter(({ component }) => component === "relay").length;
    return {
      stream: STREAM, name: "garden", tracks: [], kbps: 1064, access: "public", live: true, epoch: 1, broadcaster, topology,
      allow_failures: true, viewers, relays, depth: 4, since_us: Date.now() * 1000 - 3.6e9, totals: { ...this.totals },
    };
  }
}

/**
 * Serves the page with such a crowd.
 * @param {Crowd} crowd
 * @param {number} every milliseconds between two changes
 */
export async function serve(crowd, every = 1_000) {
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "/", "http://x");
    const json = (/** @type {unknown} */ content) => {
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify(content));
    };
    if (url.pathname === "/api/session") return json({ operator: true });
    if (url.pathname === "/api/events") return feed(crowd, response, url.searchParams.has("stream"), every);
    if (url.pathname.endsWith("/history")) return json({ moments: crowd.history() });
    if (url.pathname.startsWith("/api/operator/")) {
      const what = request.method === "POST" ? "made" : (url.pathname.split("/").at(-1) ?? "");
      return json(crowd.admitted(what));
    }
    if (url.pathname.startsWith("/api/")) return json({ done: true });
    const path = normalize(url.pathname === "/monitor" ? "/monitor.html" : url.pathname);
    const file = await readFile(join(WEB, path)).catch(() => null);
    response.statusCode = file ? 200 : 404;
    response.setHeader("Content-Type", KINDS[extname(path)] ?? "application/octet-stream");
    response.end(file);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${port}/monitor`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/**
 * @param {Crowd} crowd
 * @param {import("node:http").ServerResponse} response
 * @param {boolean} isWatched
 * @param {number} every
 */
function feed(crowd, response, isWatched, every) {
  response.setHeader("Content-Type", "text/event-stream");
  const tell = (/** @type {string} */ name, /** @type {unknown} */ content) => response.write(`event: ${name}\ndata: ${JSON.stringify(content)}\n\n`);
  tell("streams", { streams: [crowd.stream()], ended: [] });
  if (!isWatched) return;
  tell("tree", { stream: crowd.stream(), members: [...crowd.members.values()] });
  const timer = setInterval(() => {
    const { changed, gone, happenings } = crowd.live();
    tell("change", { stream: crowd.stream(), changed, gone });
    happenings.forEach((happening) => tell("happening", happening));
  }, every);
  response.on("close", () => clearInterval(timer));
}
