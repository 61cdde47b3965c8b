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

const WASM = new URL("../pkg/web_bg.wasm", import.meta.url);
/** What a browser is taken to be able to send, kbit/s: two children of a camera. Guess; nothing measures it yet. */
const UPLINK_KBPS = 8_000;

/**
 * @typedef {object} Listener
 * @property {(news: News) => void} news
 * @property {(connected: boolean) => void} supervisor
 * @property {(words: string) => void} cannotPlay
 * @property {() => void} playerChanged
 */

/** See the file's own words. */
export class Peer {
  /** @type {Machines} */
  #machines;
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
    const m = new Machines(performance.now(), random, fingerprint, keys.publicKey, uplink, options.relays, software());
    this.#machines = m;
    this.#keys = keys;
    this.#listener = listener;
    const run = (/** @type {Order[]} */ orders) => this.#run(orders);
    this.player = new Player(video, {
      open: () => run(m.sourceOpen(performance.now())),
      failed: () => run(m.sourceFailed(performance.now())),
      full: (track) => run(m.quotaExceeded(performance.now(), track)),
      cannotPlay: (words) => this.#cannotPlay(words),
      changed: () => listener.playerChanged(),
    });
    this.#links = new Links(certificate, {
      description: (link, sdp) => run(m.localDescription(performance.now(), link, sdp)),
      candidate: (link, candidate) => run(m.localCandidate(performance.now(), link, candidate)),
      open: (link) => run(m.linkOpen(performance.now(), link)),
      control: (link, bytes) => run(m.control(performance.now(), link, bytes)),
      media: (link, bytes) => run(m.media(performance.now(), link, bytes)),
      backlog: (link, bytes) => run(m.backlog(performance.now(), link, bytes)),
      closed: (link, reason) => run(m.linkClosed(performance.now(), link, reason)),
    });
    this.#signalling = new Signalling(supervisorUrl(), {
      up: () => run(m.supervisorUp(performance.now(), crypto.getRandomValues(new Uint8Array(32)))),
      down: () => {
        listener.supervisor(false);
        run(m.supervisorDown(performance.now()));
      },
      text: (text) => run(m.supervisorText(performance.now(), text)),
    });
    this.#stopTicker = startTicker(() => this.#beat());
    run(m.listStreams(performance.now()));
  }

  #beat() {
    const { isOpen, position, wanted, holeEnd } = this.player;
    if (isOpen) this.#run(this.#machines.element(performance.now(), position, wanted, holeEnd));
    this.#run(this.#machines.tick(performance.now()));
  }

  /** @param {string} words */
  #cannotPlay(words) {
    this.#listener.cannotPlay(words);
    this.unwatch();
  }

  /** @param {string} stream */
  watch(stream) {
    this.player.close(); // it may still show the end of what was watched before
    this.#run(this.#machines.watch(performance.now(), stream, invitation()));
  }

  unwatch() {
    this.player.close();
    this.#run(this.#machines.unwatch(performance.now()));
  }

  stats() {
    return this.#machines.stats(performance.now());
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

  /** @param {Order[]} orders */
  #run(orders) {
    for (const order of orders) if (!this.#hasFailed) this.#carryOut(order);
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
    this.#run(this.#machines.taskDone(performance.now(), task.task, answer));
  }

  /** The supervisor wants a key of another suite: it gets one at the next attempt, which follows by itself. */
  async #addRsaKey() {
    this.#hasRsa = true;
    this.#machines.addRsaKey(await this.#keys.rsa());
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
