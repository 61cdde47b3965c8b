// The figures over the picture.

import * as words from "./words.js";

/** @typedef {import("../pkg/web.js").Stats} Stats */

/** Rates are taken over this, in milliseconds. */
const OVER = 2_000;

/** Shows a peer's figures in a <dl>. */
export class Overlay {
  /** @type {Map<string, HTMLElement>} */
  #values = new Map();
  /** @type {{ at: number, down: number, up: number }[]} */
  #samples = [];
  #list;

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** @param {Stats} stats */
  show(stats) {
    const rate = this.#rates(stats);
    const up = `${words.rate(rate.up)} · ${words.bytes(stats.bytesUp)}`;
    const down = `${words.rate(rate.down)} · ${words.bytes(stats.bytesDown)}`;
    this.#set("latency", "Live latency", stats.latencyMs === null ? "–" : milliseconds(stats.latencyMs));
    this.#set("hold", "Hold", `${Math.round(stats.aheadMs)} of ${milliseconds(stats.holdMs)}`);
    this.#set("stalls", "Stalls", stats.stalls ? `${stats.stalls} · ${(stats.stalledMs / 1000).toFixed(1)} s` : "0");
    this.#set("parent", "Parent", stats.parent ? stats.parent.slice(0, 8) : "–");
    this.#set("depth", "Depth", String(stats.depth));
    this.#set("children", "Children", String(stats.children));
    this.#set("down", "Down", down);
    this.#set("up", "Up", up);
  }

  /** Another stream: figures begin again. */
  reset() {
    this.#samples = [];
  }

  /**
   * @param {string} key
   * @param {string} label
   * @param {string} text
   */
  #set(key, label, text) {
    let value = this.#values.get(key);
    if (!value) {
      const term = document.createElement("dt");
      term.textContent = label;
      value = document.createElement("dd");
      value.dataset.figure = key;
      this.#list.append(term, value);
      this.#values.set(key, value);
    }
    value.textContent = text;
  }

  /** @param {Stats} stats kbit/s over the last seconds */
  #rates(stats) {
    const now = { at: performance.now(), down: stats.bytesDown, up: stats.bytesUp };
    this.#samples.push(now);
    while (this.#samples.length > 2 && now.at - this.#samples[1].at >= OVER) this.#samples.shift();
    const then = this.#samples[0];
    const seconds = Math.max(now.at - then.at, 1) / 1000;
    const kbps = (/** @type {number} */ bytes) => Math.max(bytes, 0) / 125 / seconds;
    return { down: kbps(now.down - then.down), up: kbps(now.up - then.up) };
  }
}

/** @param {number} ms */
function milliseconds(ms) {
  return `${Math.round(ms)} ms`;
}
