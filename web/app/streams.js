// The list of streams.

import { whyUnplayable } from "./player.js";
import * as words from "./words.js";

/** @typedef {import("../pkg/web.js").Stream} Stream */

/** @param {string} name */
export function watchPath(name) {
  return `/watch/${encodeURIComponent(name)}`;
}

/** The name in the address bar, if it is that of a stream. */
export function nameInAddress() {
  const found = location.pathname.match(/^\/watch\/(.+)$/);
  try {
    return found ? decodeURIComponent(found[1]) : null;
  } catch {
    return found ? found[1] : null;
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {...(string | Node)} children
 */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

/** @param {Stream} stream */
function badge(stream) {
  const text = stream.live ? "Live" : "Away";
  const element = make("span", stream.live ? "badge is-live" : "badge", make("span", "dot"), text);
  element.firstElementChild?.setAttribute("aria-hidden", "true");
  return element;
}

/** @param {Stream} stream */
function card(stream) {
  const head = make("span", "stream-head", make("span", "stream-name", stream.name), badge(stream));
  const facts = make(
    "span",
    "stream-facts",
    make("span", "", words.viewers(stream.viewers)),
    make("span", "", words.tracks(stream.tracks)),
    make("span", "", words.rate(stream.kbps)),
  );
  const link = make("a", "stream", head, facts);
  link.href = watchPath(stream.name);
  link.dataset.name = stream.name;
  link.dataset.stream = stream.stream;
  link.dataset.live = String(stream.live);
  link.dataset.viewers = String(stream.viewers);
  const problem = whyUnplayable(stream.tracks);
  if (problem) link.append(make("span", "stream-problem", problem));
  return make("li", "", link);
}

/**
 * Shows the streams in place of those shown before; the one with the focus keeps it.
 * @param {HTMLElement} list
 * @param {Stream[]} streams
 */
export function show(list, streams) {
  const active = document.activeElement;
  const focused = active instanceof HTMLElement && list.contains(active) ? active.dataset.stream : undefined;
  const sorted = [...streams].sort((a, b) => Number(b.live) - Number(a.live) || a.name.localeCompare(b.name));
  list.replaceChildren(...sorted.map(card));
  if (focused) list.querySelector(/** @type {"a"} */ (`a[data-stream="${focused}"]`))?.focus();
}
