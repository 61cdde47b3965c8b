// This page's peer: the machines in WebAssembly, and the hands that carry out what they order.

import init, { Peer as Machines } from "../pkg/web.js";
import { dtlsCertificate } from "./certificate.js";
import { Keys } from "./keys.js";
import { Links } from "./links.js";
import { Player } from "./player.js";
import { Signalling, supervisorUrl } from "./signalling.js";
import { startTicker } from "./ticker.js";

/** @typedef {import("../pkg/web.js").Order} Order */
/** @typedef {import("../pkg/web.js").News} News */
/**
 * One call of the machines.
 * @template T
 * @typedef {(machines: Machines, now: number) => T} Step
 */

const WASM = new URL("../pkg/web_bg.wasm", import.meta.url);
/** What a browser is taken to be able to send, kbit/s: two children of a camera. Guess; nothing measures it yet. */
const UPLINK_KBPS = 8_000;

/** What a peer cannot do without and this browser has not got, if there is such a thing. */
export function whatIsMissing() {
  if (!globalThis.RTCPeerConnection) return "WebRTC";
  return globalThis.WebAssembly ? null : "WebAssembly";
}

/**
 * @typedef {object} Listener
 * @property {(news: News) => void} news
 * @property {(connected: boolean) => void} supervisor
 * @property {(words: string) => void} cannotPlay
 * @property {() => void} playerChanged
 * @property {() => void} broke the machines failed, and nothing will come of this peer any more
 */

/** See the file's own words. */
export class Peer {
  /** @type {Machines} */
  #machines;
  #areBroken = false;
  /** @type {Links} */
  #links;
  /** @type {Signalling} */
  #signalling;
  /** @type {Keys} */
  #keys;
  #hasRsa = false;
  #hasFailed = false;
  #stopTicker = () => {};
  #listener;
  player;

  /**
   * Makes the peer and connects it to its supervisor.
   * @param {HTMLVideoElement} video
   * @param {Listener} listener
   * @param {{ relays: boolean, uplinkKbps?: number }} options
   */
  static async begin(video, listener, options) {
    const [{ certificate, fingerprint }, keys] = await Promise.all([
      dtlsCertificate(),
      Keys.load(),
      init({ module_or_path: WASM }),
    ]);
    return new Peer(video, listener, options, certificate, fingerprint, keys);
  }

  /**
   * @param {HTMLVideoElement} video
   * @param {Listener} listener
   * @param {{ relays: boolean, uplinkKbps?: number }} options
   * @param {RTCCertificate} certificate
   * @param {string} fingerprint
   * @param {Keys} keys
   */
  constructor(video, listener, options, certificate, fingerprint, keys) {
    const random = crypto.getRandomValues(new Uint8Array(56));
    const uplink = options.uplinkKbps ?? UPLINK_KBPS;
    const key = keys.publicKey;
    this.#machines = new Machines(performance.now(), random, fingerprint, key, uplink, options.relays, software());
    this.#keys = keys;
    this.#listener = listener;
    const run = (/** @type {Step<Order[]>} */ step) => this.#run(step);
    this.player = new Player(video, {
      open: () => run((m, now) => m.sourceOpen(now)),
      failed: () => run((m, now) => m.sourceFailed(now)),
      full: (track) => run((m, now) => m.quotaExceeded(now, track)),
      cannotPlay: (words) => this.#cannotPlay(words),
      changed: () => listener.playerChanged(),
    });
    this.#links = new Links(certificate, {
      description: (link, sdp) => run((m, now) => m.localDescription(now, link, sdp)),
      candidate: (link, candidate) => run((m, now) => m.localCandidate(now, link, candidate)),
      open: (link) => run((m, now) => m.linkOpen(now, link)),
      control: (link, bytes) => run((m, now) => m.control(now, link, bytes)),
      media: (link, bytes) => run((m, now) => m.media(now, link, bytes)),
      backlog: (link, bytes) => run((m, now) => m.backlog(now, link, bytes)),
      closed: (link, reason) => run((m, now) => m.linkClosed(now, link, reason)),
    });
    this.#signalling = new Signalling(supervisorUrl(), {
      up: () => run((m, now) => m.supervisorUp(now, crypto.getRandomValues(new Uint8Array(32)))),
      down: () => {
        listener.supervisor(false);
        run((m, now) => m.supervisorDown(now));
      },
      text: (text) => run((m, now) => m.supervisorText(now, text)),
    });
    this.#stopTicker = startTicker(() => this.#beat());
    run((m, now) => m.listStreams(now));
  }

  #beat() {
    const { isOpen, position, wanted, holeEnd } = this.player;
    if (isOpen) this.#run((m, now) => m.element(now, position, wanted, holeEnd));
    this.#run((m, now) => m.tick(now));
  }

  /**
   * What the machines answer; nothing once they have broken.
   * @template T
   * @param {Step<T>} step
   * @returns {T | null}
   */
  #ask(step) {
    if (this.#areBroken) return null;
    try {
      return step(this.#machines, performance.now());
    } catch (error) {
      this.#break(error);
      return null;
    }
  }

  /**
   * A trap leaves the machines in the middle of something, and each further call would throw: none is made. The others
   * look for another parent at once, and the viewer is told.
   * @param {unknown} cause
   */
  #break(cause) {
    console.error("the machines of this page broke:", cause);
    this.#areBroken = true;
    this.#hasFailed = true;
    this.#stopTicker();
    this.player.close();
    this.#links.closeAll();
    this.#signalling.close();
    this.#listener.broke();
  }

  /** @param {string} words */
  #cannotPlay(words) {
    this.#listener.cannotPlay(words);
    this.unwatch();
  }

  /** @param {string} stream */
  watch(stream) {
    this.player.close(); // it may still show the end of what was watched before
    this.#run((m, now) => m.watch(now, stream, invitation()));
  }

  unwatch() {
    this.player.close();
    this.#run((m, now) => m.unwatch(now));
  }

  stats() {
    return this.#ask((m, now) => m.stats(now));
  }

  /** The page goes away: children and supervisor are told at once, not left to find out. */
  leave() {
    this.#stopTicker();
    this.unwatch();
    this.#links.closeAll();
    this.#signalling.close();
  }

  /**
   * Fails, as a test of the others: leaves and says so, is gone as a tab is that was killed, or stands still.
   * @param {"leave" | "kill" | "freeze"} how
   */
  fail(how) {
    if (how === "leave") return this.leave();
    // Links stay open and are silent, as those of a dead process are; a frozen one's socket stays open as well.
    this.#stopTicker();
    this.#hasFailed = true;
    this.player.close();
    if (how === "kill") this.#signalling.close();
  }

  /** Carries out what the machines order. @param {Step<Order[]>} step */
  #run(step) {
    for (const order of this.#ask(step) ?? []) if (!this.#hasFailed) this.#carryOut(order);
  }

  /** @param {Order} order */
  #carryOut(order) {
    switch (order.do) {
      case "sendMedia":
        return this.#links.send(order.link, "media", order.bytes);
      case "sendControl":
        return this.#links.send(order.link, "control", order.bytes);
      case "append":
        return this.player.append(order.track, order.bytes);
      case "rate":
        return this.player.setRate(order.rate);
      case "seek":
        return void this.player.seek(order.to);
      case "play":
        return void this.player.play();
      case "remove":
        return this.player.remove(order.track, order.end);
      case "abort":
        return this.player.abort(order.track);
      case "open":
        return this.player.open(order.tracks);
      case "end":
        return void this.player.end();
      case "tell":
        return this.#tell(order.news);
      case "signal":
        return this.#signalling.send(order.text);
      case "hangUp":
        return this.#signalling.hangUp(order.reason);
      case "useKey":
        return void this.#useKey(order);
      case "iceServers":
        return this.#links.setIceServers(order.servers);
      case "askBacklog":
        return this.#links.tellBacklog(order.link, order.high, order.low);
      case "connect":
        return this.#links.connect(order.link);
      case "accept":
        return this.#links.accept(order.link, order.offer);
      case "setAnswer":
        return this.#links.setAnswer(order.link, order.answer);
      case "addCandidate":
        return this.#links.addCandidate(order.link, order.candidate);
      case "close":
        return this.#links.close(order.link);
    }
  }

  /** @param {Extract<Order, { do: "useKey" }>} task */
  async #useKey(task) {
    const answer = await this.#keys.answer(task);
    this.#run((m, now) => m.taskDone(now, task.task, answer));
  }

  /** The supervisor wants a key of another suite: it gets one at the next attempt, which follows by itself. */
  async #addRsaKey() {
    this.#hasRsa = true;
    const key = await this.#keys.rsa();
    this.#ask((m) => m.addRsaKey(key));
  }

  /** @param {News} news */
  #tell(news) {
    if (news.of === "refused" && news.why === "Suite" && Keys.areHeld && !this.#hasRsa) {
      this.#addRsaKey().catch((error) => this.#listener.news({ ...news, words: `${news.words} (${error})` }));
      return;
    }
    if (news.of === "accepted") {
      this.#signalling.settle();
      this.#listener.supervisor(true);
    }
    this.#listener.news(news);
  }
}

/** What the link brought along that lets its bearer watch; never sent in a request for the page. */
export function invitation() {
  return new URLSearchParams(location.hash.slice(1)).get("invitation") ?? undefined;
}

/** What this is, for people who look at the topology: a receiver in such a browser. */
function software() {
  const names = [/Firefox\/\d+/, /Edg\/\d+/, /Chrome\/\d+/, /Version\/\d+.*Safari/];
  const browser = names.map((name) => navigator.userAgent.match(name)?.[0]).find(Boolean) ?? "browser";
  return `receiver page, ${browser}`.slice(0, 100);
}
