// What is counted of a stream as it is watched: figures of the moment, and their course.
// Knows no document.

/** @typedef {import("./api.js").Member} Member */
/** @typedef {import("./api.js").Stream} Stream */

/** Samples kept: an hour, at about one a second. */
const KEPT = 3_600;
/** Of one peer: a quarter of an hour. */
const KEPT_OF_A_PEER = 900;

/** @param {number[]} sorted @param {number} share */
export function percentile(sorted, share) {
  return sorted.length ? sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] : null;
}

/** Those who watch now: a viewer whose socket is closed does not. @param {Iterable<Member>} members */
export function viewersOf(members) {
  return [...members].filter(({ component, state }) => component === "receiver" && state !== "away");
}

/** @param {Iterable<Member>} all */
export function moment(all) {
  const members = [...all];
  const viewers = viewersOf(members);
  const latencies = viewers.flatMap(({ report }) => report?.latency_ms ?? []).sort((a, b) => a - b);
  const up = (/** @type {Member["component"]} */ kind) =>
    members.filter(({ component }) => component === kind).reduce((sum, { report }) => sum + (report?.up_kbps ?? 0), 0);
  const [byBroadcaster, byRelays, byViewers] = [up("broadcaster"), up("relay"), up("receiver")];
  const sent = byBroadcaster + byRelays + byViewers;
  return {
    viewers: viewers.length,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    byBroadcaster,
    byRelays,
    byViewers,
    /** What neither the broadcaster nor a relay had to send, as a share of all. */
    offload: sent ? byViewers / sent : null,
  };
}

/** @typedef {"viewers" | "p50" | "p99" | "byBroadcaster" | "byRelays" | "byViewers"} Figure how much there is at a time */
/** @typedef {"stalls" | "disconnections" | "takeovers"} Count how often something was, in `BIN` seconds */
/** @type {Figure[]} */
const FIGURES = ["viewers", "p50", "p99", "byBroadcaster", "byRelays", "byViewers"];
/** @type {Count[]} */
const COUNTS = ["stalls", "disconnections", "takeovers"];
/** Seconds that are counted together: what the supervisor remembers is no finer. */
const BIN = 5;

/** The course of one stream. */
export class Course {
  /** @type {number[]} */
  at = [];
  /** @type {Record<Figure, (number | null)[]>} */
  of = { viewers: [], p50: [], p99: [], byBroadcaster: [], byRelays: [], byViewers: [] };
  /** When the seconds began that are counted together. @type {number[]} */
  since = [];
  /** @type {Record<Count, number[]>} */
  counts = { stalls: [], disconnections: [], takeovers: [] };
  /** @type {Stream["totals"] | null} */
  #before = null;

  /** What was before this page; those moments that it saw itself are left. @param {import("./api.js").Moment[]} moments */
  begin(moments) {
    const earlier = moments.filter(({ at_us }) => !this.at.length || at_us / 1e6 < this.at[0]);
    if (!earlier.length) return;
    this.at.unshift(...earlier.map(({ at_us }) => at_us / 1e6));
    this.of.viewers.unshift(...earlier.map(({ viewers }) => viewers));
    this.of.p50.unshift(...earlier.map(({ p50_ms }) => p50_ms));
    this.of.p99.unshift(...earlier.map(({ p99_ms }) => p99_ms));
    this.of.byBroadcaster.unshift(...earlier.map(({ broadcaster_kbps }) => broadcaster_kbps));
    this.of.byRelays.unshift(...earlier.map(({ relays_kbps }) => relays_kbps));
    this.of.byViewers.unshift(...earlier.map(({ viewers_kbps }) => viewers_kbps));
    const [since, counts] = [this.since, this.counts];
    this.since = [];
    this.counts = { stalls: [], disconnections: [], takeovers: [] };
    for (const moment of earlier) this.#count(moment.at_us / 1e6 - 1, moment);
    since.forEach((at, i) => this.#count(at, { stalls: counts.stalls[i], disconnections: counts.disconnections[i], takeovers: counts.takeovers[i] }));
  }

  /** @param {number} at_s @param {Stream} stream @param {Iterable<Member>} members */
  take(at_s, stream, members) {
    const now = moment(members);
    const before = this.#before ?? stream.totals;
    this.#before = stream.totals;
    // Twice in one look: the later one stands.
    if (this.at.at(-1) === at_s) for (const list of this.#figures()) list.pop();
    this.at.push(at_s);
    for (const name of FIGURES) this.of[name].push(now[name]);
    const grown = (/** @type {Count} */ name) => Math.max(0, stream.totals[name] - before[name]);
    this.#count(at_s, { stalls: grown("stalls"), disconnections: grown("disconnections"), takeovers: grown("takeovers") });
    for (const list of this.#figures()) if (list.length > KEPT) list.shift();
    for (const list of [this.since, ...Object.values(this.counts)]) if (list.length > KEPT / BIN) list.shift();
    return now;
  }

  #figures() {
    return [this.at, ...Object.values(this.of)];
  }

  /** @param {number} at_s @param {Record<Count, number>} more */
  #count(at_s, more) {
    const bin = Math.floor(at_s / BIN) * BIN;
    if (this.since.at(-1) !== bin) {
      this.since.push(bin);
      for (const name of COUNTS) this.counts[name].push(0);
    }
    for (const name of COUNTS) this.counts[name][this.since.length - 1] += more[name];
  }
}

/** The course of every peer of a stream, and who stalled just now. */
export class Histories {
  /** @type {Map<string, { at: number[], latency: (number | null)[], hold: (number | null)[], stalls: number, stalledAt: number }>} */
  #of = new Map();

  /** @param {number} at_s @param {Iterable<Member>} members those with news */
  take(at_s, members) {
    for (const { peer, report } of members) {
      if (!report) continue;
      const kept = this.#of.get(peer) ?? { at: [], latency: [], hold: [], stalls: report.stalls, stalledAt: -Infinity };
      this.#of.set(peer, kept);
      if (report.stalls > kept.stalls) kept.stalledAt = at_s;
      kept.stalls = report.stalls;
      kept.at.push(at_s);
      kept.latency.push(report.latency_ms ?? null);
      kept.hold.push(report.hold_ms ?? null);
      for (const list of [kept.at, kept.latency, kept.hold]) if (list.length > KEPT_OF_A_PEER) list.shift();
    }
  }

  /** @param {Iterable<string>} peers */
  forget(peers) {
    for (const peer of peers) this.#of.delete(peer);
  }

  /** @param {string} peer */
  of(peer) {
    const kept = this.#of.get(peer);
    return kept ? [kept.at, kept.latency, kept.hold] : [[], [], []];
  }

  /** @param {string} peer @param {number} at_s */
  isStalled(peer, at_s) {
    return at_s - (this.#of.get(peer)?.stalledAt ?? -Infinity) < 5;
  }
}
