// What the monitor says, and how it writes numbers. Knows no document.

/** @typedef {import("./api.js").Member} Member */
/** @typedef {import("./api.js").Health} Health */
/** @typedef {import("./api.js").Happening} Happening */

export const KINDS = { broadcaster: "broadcaster", relay: "relay", receiver: "viewer" };

const CLOCK = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** The time of day. @param {number} at_s seconds since 1970 */
export function clock(at_s) {
  return CLOCK.format(at_s * 1000);
}

/** @param {number} ms */
export function milliseconds(ms) {
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** @param {number} kbps */
export function rate(kbps) {
  return kbps < 1000 ? `${Math.round(kbps)} kbit/s` : `${(kbps / 1000).toFixed(kbps < 10_000 ? 1 : 0)} Mbit/s`;
}

/** @param {number} bytes */
export function bytes(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 1000 && at < units.length - 1) [bytes, at] = [bytes / 1000, at + 1];
  return `${bytes.toFixed(at && bytes < 100 ? 1 : 0)} ${units[at]}`;
}

/** @param {number} seconds @param {number} [units] in so many of them at most */
export function span(seconds, units = 2) {
  const parts = /** @type {[number, string][]} */ ([[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]]);
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  const words = [];
  let rest = seconds;
  for (const [size, unit] of parts.slice(first, first + units)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count) words.push(`${count} ${unit}`);
  }
  return words.join(" ");
}

/** What to call a peer in few letters. @param {Pick<Member, "peer" | "name">} member */
export function callOf({ peer, name }) {
  return name || peer.slice(0, 6);
}

/** What it runs on: the browser, or the service. @param {Pick<Member, "software" | "component">} member */
export function madeOf({ software, component }) {
  const browser = software.replace(/^receiver page, /, "").replace("/", " ");
  return component === "receiver" ? browser : software;
}

/** @type {Record<Member["state"], string>} */
export const STATES = {
  well: "Connected",
  waiting: "Waits for a place",
  silent: "Silent: its socket is open, and nothing is heard",
  away: "Away: its socket is closed; it may come back",
};

/** One line for whoever does not see the picture. @param {Member} member */
export function describe(member) {
  const { report, state, component } = member;
  const parts = [`${KINDS[component]} ${callOf(member)}`];
  if (state !== "well") parts.push(state);
  if (report?.latency_ms !== undefined && report.latency_ms !== null) parts.push(`live latency ${milliseconds(report.latency_ms)}`);
  if (component === "receiver" && report) parts.push(report.stalls === 1 ? "1 stall" : `${report.stalls} stalls`);
  return parts.join(", ");
}

/**
 * A board's health: how it is, then the plain facts. Two lines whatever is wrong, so that a board that is busy for a
 * moment moves nothing that is read below it.
 * @param {Health | null} health
 * @returns {{ mood: "bad" | "warn" | "", words: string }[]}
 */
export function healthWords(health) {
  if (!health) return [{ mood: "", words: "No word of the board yet." }];
  /** @type {{ mood: "bad" | "warn", words: string }[]} */
  const said = [];
  const say = (/** @type {"bad" | "warn"} */ mood, /** @type {string} */ words) => said.push({ mood, words });
  if (health.under_voltage) say("bad", "Power supply too weak: use the one made for this board, and a short cable.");
  else if (health.under_voltage_once) say("warn", "The power supply was too weak at some time since the board started.");
  if (health.throttled) say("bad", "Slowed down because of heat: give it air, or a heat sink.");
  const { temperature_c: celsius, wifi_dbm: wifi } = health;
  if (celsius !== undefined && celsius >= 80) say("bad", `Too hot: ${Math.round(celsius)} °C.`);
  else if (celsius !== undefined && celsius >= 70) say("warn", `Hot: ${Math.round(celsius)} °C.`);
  if (isScarce(health.memory_free, health.memory_total, 0.08)) say("warn", "Little memory left.");
  if (isScarce(health.disk_free, health.disk_total, 0.05)) say("bad", "The disk is nearly full.");
  if (wifi !== undefined && wifi < -75) say("warn", `Weak Wi-Fi signal (${wifi} dBm): move it, or use a cable.`);
  if (health.load !== undefined && health.load > 1.2) say("warn", "More work than its processor can do.");
  const facts = { mood: /** @type {const} */ (""), words: plainFacts(health) };
  if (!said.length) return [{ mood: "", words: "The board is well." }, facts];
  said.sort((a, b) => Number(b.mood === "bad") - Number(a.mood === "bad"));
  return [{ mood: said[0].mood, words: said.map(({ words }) => words).join(" ") }, facts];
}

/** @param {number | undefined} free @param {number | undefined} total @param {number} share */
function isScarce(free, total, share) {
  return free !== undefined && total !== undefined && total > 0 && free / total < share;
}

/** @param {Health} health */
function plainFacts(health) {
  const facts = [];
  if (health.temperature_c !== undefined) facts.push(`${Math.round(health.temperature_c)} °C`);
  if (health.memory_free !== undefined) facts.push(`${bytes(health.memory_free)} memory free`);
  if (health.disk_free !== undefined) facts.push(`${bytes(health.disk_free)} disk free`);
  if (health.wifi_dbm !== undefined) facts.push(`Wi-Fi ${health.wifi_dbm} dBm`);
  if (health.uptime_s !== undefined) facts.push(`up ${span(health.uptime_s)}`);
  return facts.join(" · ");
}

/**
 * How a stream is encoded: what is wrong first.
 * @param {import("./api.js").Encoding} encoding
 * @returns {{ mood: "bad" | "warn" | "", words: string }[]}
 */
export function encodingWords({ stream, encoder, tried = [], camera_away: away }) {
  /** @type {{ mood: "bad" | "warn" | "", words: string }[]} */
  const said = [];
  if (away) said.push({ mood: "warn", words: `${stream}: the camera shows nothing; viewers see why.` });
  const at = tried.find((one) => one.works && one.encoder === encoder);
  if (at) said.push({ mood: "", words: `${stream}: encoded by ${at.of.startsWith("software") ? "software" : at.of} (${at.encoder}), ${at.outcome}.` });
  else if (tried.length) said.push({ mood: "bad", words: `${stream}: no encoder works.` });
  return said;
}

/**
 * One line of what happened.
 * @param {Happening} happening
 * @param {(peer: string) => string} name
 * @returns {{ mood: "bad" | "warn" | "", words: string }}
 */
export function happened(happening, name) {
  const who = happening.peer ? name(happening.peer) : "The stream";
  const other = name(happening.to ?? happening.parent ?? "");
  /** @type {Record<string, ["bad" | "warn" | "", string]>} */
  const words = {
    came: ["", `${who} was let in`],
    went: ["", `${who} is gone`],
    joined: ["", `${who} joined`],
    left: ["", `${who} left`],
    lost: ["bad", `${who} is gone without a word`],
    moved: ["", `${who} is moved below ${other}`],
    "took-over": ["warn", `${who} took over by itself, fed by ${other}`],
    "parent-lost": ["warn", `${who} lost its parent ${other}`],
    limited: ["warn", `${who} is too slow for the children it had, and is given fewer`],
    stalled: ["warn", `${who} stalled${(happening.times ?? 1) > 1 ? ` ${happening.times} times` : ""}`],
    "on-air": ["", "The stream is on the air"],
    "broadcaster-away": ["bad", "The broadcaster is away"],
    ended: ["", "The stream has ended"],
    accused: ["bad", `${who} was sent something forged by ${other}`],
    uninvited: ["warn", `${who} was refused: not invited`],
    "invitation-revoked": ["", `${who} was put out: its invitation was taken back`],
    "link-refused": ["warn", `${who} will not be linked to ${other}`],
    evicted: ["", `${who} was put out`],
    rearranged: ["", "The peers are arranged anew"],
    "told-to-fail": ["", `${who} was told to ${happening.how === "kill" ? "vanish" : happening.how}, as a test`],
  };
  const [mood, text] = words[happening.event] ?? ["", `${who}: ${happening.event}`];
  return { mood, words: text };
}
