// The tree, drawn and kept up to date: marks come, go and move so that the eye can follow.

import { layOut } from "./layout.js";
import { callOf, describe, milliseconds } from "./words.js";

/** @typedef {import("./api.js").Member} Member */
/** @typedef {import("./layout.js").Spot} Spot */

const SVG = "http://www.w3.org/2000/svg";
/** A move takes so long, ms: the eye follows it. */
const MOVE = 450;
/** A mark that is gone fades for so long, ms. */
const FADE = 600;
/** An edge that is new is set off for so long, ms. */
const FRESH = 2_500;
/** How small it may be drawn: words of 12 px are 8 px then. */
const SMALLEST = 0.68;
/** Wider by so much at a time: at another scale all words are set anew. */
const STEP = 184;
/** A latency that differs by less, in ms, is no news: figures that flicker are not read. The peer's panel has it exactly. */
const NEWS = 20;
/** With more moves than this at once nobody follows them all, and they are not animated. */
const MOST_ANIMATED = 400;

/**
 * @typedef {object} Drawn
 * @property {SVGGElement} group
 * @property {SVGPathElement | null} edge
 * @property {Spot} spot
 * @property {{ x: number, y: number }} at where it is drawn now
 * @property {string} look what its mark and its name say
 * @property {{ sub: Text, latency: number | null, stalls: number }} parts the words that change all the time, and what they say
 * @property {{ place: string, way: string }} written what the document has of it
 */

/** @param {string} name @param {Record<string, string | number>} attributes */
function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

/** See the file's own words. */
export class TreePicture {
  #svg;
  #edges = make("g", { "aria-hidden": "true" });
  #backups = make("g", { "aria-hidden": "true" });
  #nodes = make("g", { role: "presentation" });
  /** @type {Map<string, Drawn>} */
  #drawn = new Map();
  /** @type {Map<string, Member>} */
  #members = new Map();
  /** What was folded and unfolded by hand. @type {Map<string, boolean>} */
  #folds = new Map();
  /** @type {import("./layout.js").Seats} */
  #seats = new Map();
  #all = false;
  #shape = "";
  #showsBackups = false;
  /** @type {string | null} */
  #chosen = null;
  /** @type {string | null} */
  #focus = null;
  #frame = 0;
  /** Width of the place it is drawn in; 0 until somebody asks. */
  #wide = 0;
  #choose;
  #isStalled;

  /**
   * @param {SVGSVGElement} svg
   * @param {(peer: string) => void} choose
   * @param {(peer: string) => boolean} isStalled whether its picture stood still just now
   */
  constructor(svg, choose, isStalled) {
    this.#svg = svg;
    this.#choose = choose;
    this.#isStalled = isStalled;
    new ResizeObserver(() => (this.#wide = 0)).observe(/** @type {HTMLElement} */ (svg.parentElement));
    svg.append(this.#edges, this.#backups, this.#nodes);
    svg.addEventListener("click", (event) => this.#clicked(event));
    svg.addEventListener("dblclick", (event) => this.#toggle(peerOf(event.target)));
    svg.addEventListener("keydown", (event) => this.#key(event));
    svg.addEventListener("focusin", (event) => this.#focused(peerOf(event.target)));
  }

  /** @param {Map<string, Member>} members */
  show(members) {
    this.#members = members;
    const shape = shapeOf(members);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#arrange();
    } else {
      for (const drawn of this.#drawn.values()) this.#refresh(drawn, members.get(drawn.spot.id));
    }
  }

  /** @param {boolean} shows */
  showBackups(shows) {
    this.#showsBackups = shows;
    this.#drawBackups();
  }

  /** @param {boolean} all */
  unfold(all) {
    this.#all = all;
    this.#folds.clear();
    this.#arrange();
  }

  /** @param {string | null} peer */
  mark(peer) {
    this.#drawn.get(this.#chosen ?? "")?.group.classList.remove("chosen");
    this.#chosen = peer;
    this.#drawn.get(peer ?? "")?.group.classList.add("chosen");
  }

  /** An edge is new for a reason worth seeing. @param {string} peer @param {"moved" | "took-over"} why */
  flash(peer, why) {
    const edge = this.#drawn.get(peer)?.edge;
    if (!edge) return;
    edge.classList.add(why);
    setTimeout(() => edge.classList.remove(why), FRESH);
  }

  /** Another stream: nothing of the last one is animated into it. */
  clear() {
    for (const { group, edge } of this.#drawn.values()) [group, edge].forEach((e) => e?.remove());
    this.#drawn.clear();
    this.#folds.clear();
    this.#seats.clear();
    this.#members = new Map();
    this.#shape = "";
    this.#drawBackups();
  }

  #arrange() {
    const { spots, width, height } = layOut(this.#members.values(), { folds: this.#folds, all: this.#all, seats: this.#seats });
    const first = this.#drawn.size === 0;
    this.#fit(width, height, first ? spots[0] : undefined);
    const here = new Set(spots.map(({ id }) => id));
    for (const [id, drawn] of this.#drawn) if (!here.has(id)) this.#remove(id, drawn);
    for (const spot of spots) this.#place(spot, first);
    this.#keepOneTabStop();
    this.#drawBackups();
    this.#animate();
  }

  /**
   * A tree that is wider than its place is drawn smaller, as long as its words can be read; then it scrolls.
   * @param {number} width
   * @param {number} height
   * @param {Spot} [top] to be seen first
   */
  #fit(width, height, top) {
    const place = /** @type {HTMLElement} */ (this.#svg.parentElement);
    // Asking for it in the midst of an update would have everything laid out once more.
    const seen = this.#wide || (this.#wide = place.clientWidth);
    if (width > seen) width = Math.ceil(width / STEP) * STEP;
    const scale = Math.max(SMALLEST, Math.min(1, (seen - 2) / (width || 1)));
    // Never narrower than its place: a picture that is put into the middle jumps whenever somebody comes.
    const wide = Math.max(width, (seen - 2) / scale);
    const size = { width: wide * scale, height: height * scale, viewBox: `${(width - wide) / 2} 0 ${wide} ${height}` };
    for (const [name, value] of Object.entries(size)) {
      if (this.#svg.getAttribute(name) !== String(value)) this.#svg.setAttribute(name, String(value));
    }
    if (top) place.scrollLeft = top.x * scale - seen / 2;
  }

  /** @param {Spot} spot @param {boolean} first */
  #place(spot, first) {
    let drawn = this.#drawn.get(spot.id);
    if (drawn && drawn.spot.small !== spot.small) {
      const { at } = drawn;
      [drawn.group, drawn.edge].forEach((element) => element?.remove());
      drawn = this.#add(spot, at);
    }
    if (!drawn) {
      drawn = this.#add(spot, { x: spot.x, y: spot.y });
      if (!first) drawn.group.classList.add("arrived");
    }
    drawn.spot = spot;
    this.#refresh(drawn, spot.member);
  }

  /** @param {Spot} spot @param {{ x: number, y: number }} at */
  #add(spot, at) {
    const group = /** @type {SVGGElement} */ (make("g", { class: "node", role: "treeitem", tabindex: -1 }));
    group.dataset.peer = spot.id;
    group.classList.toggle("chosen", spot.id === this.#chosen);
    const edge = spot.parent ? /** @type {SVGPathElement} */ (make("path", { class: "edge" })) : null;
    if (edge) this.#edges.append(edge);
    this.#nodes.append(group);
    const drawn = { group, edge, spot, at, look: "", parts: { sub: new Text(), latency: null, stalls: 0 }, written: { place: "", way: "" } };
    this.#drawn.set(spot.id, drawn);
    return drawn;
  }

  /** @param {string} id @param {Drawn} drawn */
  #remove(id, drawn) {
    this.#drawn.delete(id);
    drawn.edge?.remove();
    drawn.group.classList.add("leaving");
    drawn.group.removeAttribute("data-peer");
    drawn.group.setAttribute("aria-hidden", "true");
    setTimeout(() => drawn.group.remove(), FADE);
  }

  /** Writes what has changed of a mark. @param {Drawn} drawn @param {Member | undefined} member */
  #refresh(drawn, member) {
    if (!member) return;
    const { spot, group, parts } = drawn;
    const state = this.#isStalled(member.peer) ? "stalled" : member.state === "well" ? "" : "silent";
    const look = [state, spot.hidden, spot.small, spot.foldable, spot.depth, callOf(member)].join("|");
    if (look !== drawn.look) {
      drawn.look = look;
      this.#outline(drawn, member, state);
    }
    // A dot has no words, and is described in full when somebody comes to it: hundreds of them change all the time.
    if (spot.small) return;
    const latency = member.report?.latency_ms ?? null;
    const stalls = member.report?.stalls ?? 0;
    const isNews = latency === null || parts.latency === null ? latency !== parts.latency : Math.abs(latency - parts.latency) >= NEWS;
    if (!isNews && stalls === parts.stalls) return;
    Object.assign(parts, { latency, stalls });
    parts.sub.data = latency === null ? "" : milliseconds(latency);
    group.setAttribute("aria-label", describe(member));
  }

  /** Draws a mark anew. @param {Drawn} drawn @param {Member} member @param {string} state */
  #outline({ spot, group, parts }, member, state) {
    group.setAttribute("aria-label", describe(member));
    group.setAttribute("aria-level", String(spot.depth + 1));
    if (spot.foldable) group.setAttribute("aria-expanded", String(spot.hidden === 0));
    else group.removeAttribute("aria-expanded");
    const mark = make("path", { class: `mark ${member.component} ${state}`, d: outline(member, spot.small) });
    const ring = make("circle", { class: "ring", r: spot.small ? 8 : 15 });
    group.replaceChildren(ring, mark, ...this.#words(spot, member, parts.sub));
  }

  /** @param {Spot} spot @param {Member} member @param {Text} sub */
  #words(spot, member, sub) {
    if (spot.small) return [];
    const name = make("text", { y: 29 });
    name.textContent = shortened(callOf(member));
    const below = make("text", { y: 43, class: "sub" });
    below.append(sub);
    if (!spot.hidden) return [name, below];
    const text = `+${spot.hidden}`;
    const wide = 12 + text.length * 7;
    const count = make("text", { y: 59.5, class: "count" });
    count.textContent = text;
    return [name, below, make("rect", { class: "folded", x: -wide / 2, y: 48, width: wide, height: 16, rx: 8 }), count];
  }

  /** Moves marks from where they are to where they belong. */
  #animate() {
    cancelAnimationFrame(this.#frame);
    const moving = [...this.#drawn.values()].filter((d) => d.at.x !== d.spot.x || d.at.y !== d.spot.y);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches || moving.length > MOST_ANIMATED;
    const from = moving.map(({ at }) => ({ ...at }));
    const began = performance.now();
    const move = (/** @type {number} */ t) => {
      const eased = 1 - (1 - t) ** 3;
      moving.forEach((drawn, i) => {
        drawn.at.x = t === 1 ? drawn.spot.x : from[i].x + (drawn.spot.x - from[i].x) * eased;
        drawn.at.y = t === 1 ? drawn.spot.y : from[i].y + (drawn.spot.y - from[i].y) * eased;
      });
    };
    // An edge moves with either end.
    const movers = new Set(moving.map(({ spot }) => spot.id));
    const touched = moving.length ? [...this.#drawn.values()].filter(({ spot }) => movers.has(spot.id) || movers.has(spot.parent ?? "")) : [];
    const step = (/** @type {number} */ now) => {
      const t = Math.min(1, Math.max(0, (now - began) / MOVE));
      move(t);
      this.#write(touched);
      if (t < 1) this.#frame = requestAnimationFrame(step);
      else this.#drawBackups();
    };
    move(still ? 1 : 0);
    this.#write(this.#drawn.values());
    if (!still && moving.length) this.#frame = requestAnimationFrame(step);
    else this.#drawBackups();
  }

  /** Only what differs is written: most marks stand still. @param {Iterable<Drawn>} those */
  #write(those) {
    for (const drawn of those) {
      const { group, edge, spot, at, written } = drawn;
      const place = `translate(${at.x.toFixed(1)} ${at.y.toFixed(1)})`;
      if (written.place !== place) group.setAttribute("transform", (written.place = place));
      const parent = spot.parent ? this.#drawn.get(spot.parent) : undefined;
      if (!edge || !parent) continue;
      const way = curve(parent.at, at, !parent.spot.small && !parent.spot.hidden);
      if (written.way !== way) edge.setAttribute("d", (written.way = way));
    }
  }

  #drawBackups() {
    if (!this.#showsBackups && !this.#backups.firstChild) return;
    const edges = [];
    for (const [id, { at }] of this.#showsBackups ? this.#drawn : []) {
      const backup = this.#drawn.get(this.#members.get(id)?.backup ?? "");
      if (backup) edges.push(make("path", { class: "edge backup", d: `M${backup.at.x} ${backup.at.y}L${at.x} ${at.y}` }));
    }
    this.#backups.replaceChildren(...edges);
  }

  /** @param {string | null} peer */
  #focused(peer) {
    this.#focus = peer;
    const member = this.#members.get(peer ?? "");
    if (member) this.#drawn.get(member.peer)?.group.setAttribute("aria-label", describe(member));
  }

  /** @param {Event} event */
  #clicked(event) {
    const peer = peerOf(event.target);
    if (!peer) return;
    const folded = event.target instanceof Element && event.target.closest(".folded, .count");
    if (folded) this.#toggle(peer);
    else this.#choose(peer);
  }

  /** @param {string | null} peer */
  #toggle(peer) {
    const spot = this.#drawn.get(peer ?? "")?.spot;
    if (!peer || !spot?.foldable) return;
    this.#folds.set(peer, spot.hidden === 0);
    this.#arrange();
    this.#drawn.get(peer)?.group.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const spot = this.#drawn.get(this.#focus ?? "")?.spot;
    if (!spot) return;
    const all = [...this.#drawn.values()].map((drawn) => drawn.spot);
    const siblings = all.filter(({ parent }) => parent === spot.parent);
    const at = siblings.indexOf(spot);
    /** @type {Record<string, () => Spot | undefined>} */
    const moves = {
      ArrowUp: () => all.find(({ id }) => id === spot.parent),
      ArrowDown: () => all.find(({ parent }) => parent === spot.id),
      ArrowLeft: () => siblings[at - 1],
      ArrowRight: () => siblings[at + 1],
      Home: () => all.find(({ parent }) => parent === null),
    };
    if (event.key in moves) this.#go(moves[event.key]()?.id);
    else if (event.key === "Enter") this.#choose(spot.id);
    else if (event.key === " ") this.#toggle(spot.id);
    else return;
    event.preventDefault();
  }

  /** @param {string | undefined} peer */
  #go(peer) {
    const drawn = this.#drawn.get(peer ?? "");
    if (!drawn) return;
    this.#focus = drawn.spot.id;
    this.#keepOneTabStop();
    drawn.group.focus();
    drawn.group.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #keepOneTabStop() {
    const stop = this.#drawn.has(this.#focus ?? "") ? this.#focus : [...this.#drawn.keys()][0];
    for (const [id, { group }] of this.#drawn) {
      const wanted = id === stop ? "0" : "-1";
      if (group.getAttribute("tabindex") !== wanted) group.setAttribute("tabindex", wanted);
    }
  }
}

/** @param {EventTarget | null} target */
function peerOf(target) {
  const group = target instanceof Element ? target.closest(".node") : null;
  return group instanceof SVGGElement ? (group.dataset.peer ?? null) : null;
}

/** Changes with what the picture's arrangement depends on. @param {Map<string, Member>} members */
function shapeOf(members) {
  const parts = [];
  for (const { peer, parent, state, component } of members.values()) {
    parts.push(peer, parent ?? "", state === "away" ? "-" : "", component[0]);
  }
  return parts.join("");
}

/** @param {Member} member @param {boolean} small */
function outline({ component }, small) {
  if (small) return "M6 0a6 6 0 1 1-12 0a6 6 0 1 1 12 0z";
  if (component === "broadcaster") return "M-7-10h14a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-14a3 3 0 0 1-3-3v-14a3 3 0 0 1 3-3z";
  if (component === "relay") return "M0-11.5L10-5.75v11.5L0 11.5L-10 5.75v-11.5z";
  return "M9.5 0a9.5 9.5 0 1 1-19 0a9.5 9.5 0 1 1 19 0z";
}

/** Down from below a parent's words. @param {{ x: number, y: number }} from @param {{ x: number, y: number }} to @param {boolean} hasWords */
function curve(from, to, hasWords) {
  const top = from.y + (hasWords ? 46 : 8);
  const middle = (top + to.y - 12) / 2;
  return `M${from.x.toFixed(1)} ${top.toFixed(1)}C${from.x.toFixed(1)} ${middle.toFixed(1)} ${to.x.toFixed(1)} ${middle.toFixed(1)} ${to.x.toFixed(1)} ${(to.y - 8).toFixed(1)}`;
}

function shortened(/** @type {string} */ text) {
  return text.length > 13 ? `${text.slice(0, 12)}…` : text;
}
