// The boxes that hold the stream up, in words: how their boards are, and how a broadcaster encodes.

import { html, make } from "./page.js";
import { callOf, encodingWords, healthWords } from "./words.js";

/** @typedef {import("./api.js").Member} Member */
/** @typedef {import("./api.js").Encoding} Encoding */

/** @param {Iterable<Member>} members */
export function showBoxes(members) {
  const place = html("boxes");
  const boxes = [...members].filter(({ component }) => component !== "receiver");
  const known = new Map([...place.children].map((line) => [/** @type {HTMLElement} */ (line).dataset.peer, line]));
  const lines = boxes.map((box) => {
    const line = known.get(box.peer) ?? make("li", "", make("p", "name"), make("div", ""), make("div", ""));
    /** @type {HTMLElement} */ (line).dataset.peer = box.peer;
    const [name, said, tried] = line.children;
    replace(name, [document.createTextNode(callOf(box)), make("span", "quiet", box.health?.board ?? box.component)]);
    const encodings = box.health?.encodings ?? [];
    const all = [...encodings.flatMap(encodingWords), ...healthWords(box.health)].filter(({ words }) => words);
    replace(said, all.map(({ mood, words }) => make("p", mood || "words", words)));
    replace(tried, encodings.filter((encoding) => encoding.tried?.length).map(triedOf));
    return line;
  });
  if (lines.length !== place.children.length || lines.some((line, i) => place.children[i] !== line)) place.replaceChildren(...lines);
}

/** What was tried, to be unfolded. @param {Encoding} encoding */
function triedOf({ stream, encoder, tried }) {
  const lines = (tried ?? []).map(({ encoder: name, of, works, outcome }) => {
    const mark = works && name === encoder ? "at work" : works ? "works" : "no";
    return make("li", works ? "works" : "", make("code", "", name), make("span", "", `${of}: ${mark}, ${outcome}`));
  });
  return make("details", "", make("summary", "", `Encoders tried for ${stream}`), make("ul", "", ...lines));
}

/** What says the same is left alone, unfolded as it may be. @param {Element} place @param {Node[]} parts */
function replace(place, parts) {
  const said = parts.map(({ textContent }) => textContent).join("\n");
  if (place.getAttribute("data-said") === said) return;
  place.setAttribute("data-said", said);
  place.replaceChildren(...parts);
}
