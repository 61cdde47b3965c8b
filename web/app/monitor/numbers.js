// What is counted of a stream as it is watched: figures of the moment, and their course since the page was opened.
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

/** The course of one stream. */
export class Course {
  /** @type {number[]} */
  at = [];
  /** @type {Record<"viewers" | "p50" | "p99" | "stalls" | "disconnections" | "takeovers" | "byBroadcaster" | "byRelays" | "byViewers", (number | null)[]>} */
  of = { viewers: [], p50: [], p99: [], stalls: [], disconnections: [], takeovers: [], byBroadcaster: [], byRelays: [], byViewers: [] };
  /** @type {Stream["totals"] | null} */
  #before = null;

  /** @param {number} at_s @param {Stream} stream @param {Iterable<Member>} members */
  take(at_s, stream, members) {
    const now = moment(members);
    const before = this.#before ?? stream.totals;
    this.#before = stream.totals;
    // Twice in one look: the later one stands, with what both counted.
    const again = this.at.at(-1) === at_s;
    if (!again) this.at.push(at_s);
    const put = (/** @type {keyof Course["of"]} */ name, /** @type {number | null} */ value) => {
      if (again) this.of[name][this.of[name].length - 1] = value;
      else this.of[name].push(value);
    };
    for (const name of /** @type {const} */ (["viewers", "p50", "p99", "byBroadcaster", "byRelays", "byViewers"])) put(name, now[name]);
    for (const name of /** @type {const} */ (["stalls", "disconnections", "takeovers"])) {
      const grown = Math.max(0, stream.totals[name] - before[name]);
      put(name, grown + (again ? (this.of[name].at(-1) ?? 0) : 0));
    }
    for (const list of [this.at, ...Object.values(this.of)]) if (list.length > KEPT) list.splice(0, list.length - KEPT);
    return now;
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
