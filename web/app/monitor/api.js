// The supervisor's API, as the page uses it. /api/openapi.json describes all of it.

/** @typedef {{ depth: number, children: number, latency_ms?: number, hold_ms?: number, stalls: number, stalled_ms: number, down_kbps: number, up_kbps: number }} Report */
/** @typedef {{ board?: string, temperature_c?: number, throttled?: boolean, under_voltage?: boolean, under_voltage_once?: boolean, memory_free?: number, memory_total?: number, disk_free?: number, disk_total?: number, load?: number, wifi_dbm?: number, uptime_s?: number, encodings?: Encoding[] }} Health */
/** @typedef {{ stream: string, encoder?: string, tried?: { encoder: string, of: string, works: boolean, outcome: string }[], camera_away?: boolean }} Encoding */
/** @typedef {"broadcaster" | "relay" | "receiver"} Component */
/** @typedef {"well" | "waiting" | "silent" | "away"} State */
/** @typedef {{ peer: string, component: Component, name: string | null, software: string, parent: string | null, backup: string | null, state: State, since_us: number, report: Report | null, health: Health | null }} Member */
/** @typedef {{ joins: number, leaves: number, disconnections: number, takeovers: number, moves: number, stalls: number, stalled_ms: number, bytes_by_broadcaster: number, bytes_by_relays: number, bytes_by_viewers: number }} Totals */
/** @typedef {{ kind: "relay-first" | "tree" | "linked-list", arity?: number }} Topology */
/** @typedef {{ stream: string, name: string, kbps: number, access: string, live: boolean, broadcaster: string, topology: Topology, allow_failures: boolean, viewers: number, relays: number, depth: number, since_us: number, totals: Totals }} Stream */
/** @typedef {{ streams: Stream[], ended: { stream: string, name: string }[] }} Streams */
/** @typedef {{ stream: Stream, members: Member[] }} Tree */
/** @typedef {{ stream: Stream, changed: Member[], gone: string[] }} Change */
/** @typedef {{ at_s: number, event: string, peer: string | null, stream: string | null, from?: string, to?: string, parent?: string, times?: number, how?: string }} Happening */
/** @typedef {{ at_us: number, viewers: number, p50_ms: number | null, p99_ms: number | null, stalls: number, disconnections: number, takeovers: number, broadcaster_kbps: number, relays_kbps: number, viewers_kbps: number }} Moment */
/** @typedef {{ at_ms: number, viewers: number, failures: number, stalls: number, stalled_ms: number }} Sample */
/** @typedef {{ peer: string, failed: boolean, stalls: number, stalled_ms: number }} Life */
/** @typedef {{ plan: { name: string, distribution: Record<string, any>, rate: number, seconds: number, how: string }, seed: number, began_s: number, phase: "running" | "settling" | "done" | "stopped" | "interrupted", failures: number, stalls: number, stalled_ms: number, average_ms: number | null, samples: Sample[], lives: Life[] }} Trial */

/** What the supervisor says when it does not do what it was asked. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} words
   */
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/**
 * @param {string} method
 * @param {string} path below /api
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function call(method, path, body) {
  const answer = await fetch(`/api/${path}`, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch(() => {
    throw new Refused(0, "The supervisor does not answer.");
  });
  const content = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, content?.error ?? `The supervisor says ${answer.status}.`);
  return content;
}

/** How long nothing may be heard: the supervisor says a word each 5 s. */
const SILENT_AFTER = 12_000;
/** Pauses between tries to come back, ms. */
const PAUSES = [500, 1_000, 2_000, 4_000];

/**
 * @typedef {object} Listener
 * @property {(streams: Streams) => void} streams
 * @property {(tree: Tree) => void} tree
 * @property {(change: Change) => void} change
 * @property {(happening: Happening) => void} happening
 * @property {(trial: Trial) => void} trial
 * @property {() => void} over the stream that is watched is gone
 * @property {(connected: boolean) => void} link
 * @property {() => void} loggedOut
 */

/** The events of one stream, or of none; comes back by itself when the supervisor was away. */
export class Feed {
  /** @type {EventSource | undefined} */
  #source;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #silence;
  #tries = 0;
  #isClosed = false;
  #listener;
  #stream;

  /**
   * @param {string | null} stream
   * @param {Listener} listener
   */
  constructor(stream, listener) {
    this.#stream = stream;
    this.#listener = listener;
    this.#open();
  }

  close() {
    this.#isClosed = true;
    this.#drop();
  }

  #drop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#source?.close();
    this.#source = undefined;
  }

  #open() {
    const source = new EventSource(`/api/events${this.#stream ? `?stream=${this.#stream}` : ""}`);
    this.#source = source;
    source.onopen = () => this.#heard();
    source.onerror = () => this.#lost();
    /** @type {("streams" | "tree" | "change" | "happening" | "trial")[]} */
    const names = ["streams", "tree", "change", "happening", "trial"];
    for (const name of names) {
      source.addEventListener(name, (event) => {
        this.#heard();
        this.#listener[name](JSON.parse(event.data));
      });
    }
    source.addEventListener("over", () => this.#listener.over());
    this.#watchSilence();
  }

  #heard() {
    this.#tries = 0;
    this.#watchSilence();
    this.#listener.link(true);
  }

  // Comments keep the connection alive but are no events: each look at a stream is one, so silence means loss.
  #watchSilence() {
    clearTimeout(this.#silence);
    if (this.#stream) this.#silence = setTimeout(() => this.#lost(), SILENT_AFTER);
  }

  async #lost() {
    if (!this.#source) return;
    this.#drop();
    this.#listener.link(false);
    const pause = PAUSES[Math.min(this.#tries++, PAUSES.length - 1)];
    this.#timer = setTimeout(async () => {
      // An EventSource does not tell why it was refused: whoever is not logged in any more is told here.
      const session = await call("GET", "session").catch(() => null);
      if (this.#isClosed) return;
      if (session && !session.operator) this.#listener.loggedOut();
      else this.#open();
    }, pause);
  }
}
