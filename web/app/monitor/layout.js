// Where everybody stands in the picture: who is drawn, who is folded away, and at which place. Knows no document.

import "../../vendor/d3-hierarchy.min.js";

/** @typedef {import("./api.js").Member} Member */

/**
 * One thing that is drawn.
 * @typedef {object} Spot
 * @property {string} id the peer's
 * @property {Member} member
 * @property {string | null} parent
 * @property {number} x
 * @property {number} y
 * @property {number} depth
 * @property {number} hidden how many stand below it that are not drawn
 * @property {boolean} small drawn as a dot in a crowd, without words
 * @property {boolean} foldable
 */

/** @typedef {{ spots: Spot[], width: number, height: number }} Picture */

/** @typedef {{ key: string, member: Member | null, crowd: (Member | null)[], children: Item[], hidden: number }} Item */

/** Who stands where in a crowd, by whom it is fed; whoever leaves leaves a gap. @typedef {Map<string, (string | null)[]>} Seats */

/** So many viewers below one parent, who feed nobody, are drawn with their names; more are a crowd of dots. */
const CROWD_FROM = 9;
/** Dots side by side. */
const CROWD_COLUMNS = 12;
const DOT = 20;
/** A node with its words. */
const NODE = { width: 92, height: 92 };
const MARGIN = 28;
/** Larger trees are folded below a depth by themselves, so that about so much is drawn: more than two screens side by side nobody sees at once. */
const DRAWN_AT_MOST = 160;
/** What a dot without words counts for in that. */
const DOT_COUNTS = 1 / 3;

const d3 = /** @type {any} */ (globalThis).d3;

/** Leaves whose socket is closed are gone as far as anybody can see; whoever is still needed is drawn, faintly. */
function isSeen(/** @type {Member} */ member, /** @type {Set<string>} */ feeding) {
  return member.component === "broadcaster" || member.state !== "away" || feeding.has(member.peer);
}

/**
 * @param {Iterable<Member>} all parents need not stand before their children
 * @returns {{ root: Member | null, below: Map<string, Member[]> }}
 */
export function family(all) {
  const members = [...all];
  const feeding = new Set(members.map(({ parent }) => parent ?? ""));
  const seen = members.filter((member) => isSeen(member, feeding));
  const known = new Map(seen.map((member) => [member.peer, member]));
  const root = seen.find(({ component }) => component === "broadcaster") ?? null;
  /** @type {Map<string, Member[]>} */
  const below = new Map();
  for (const member of seen) {
    if (!member.parent || !known.has(member.parent)) continue;
    const list = below.get(member.parent);
    if (list) list.push(member);
    else below.set(member.parent, [member]);
  }
  const rank = { broadcaster: 0, relay: 1, receiver: 2 };
  for (const list of below.values()) {
    list.sort((a, b) => rank[a.component] - rank[b.component] || a.since_us - b.since_us || (a.peer < b.peer ? -1 : 1));
  }
  return { root, below };
}

/**
 * How deep the tree is drawn when nobody says otherwise: as deep as fits.
 * @param {string} root
 * @param {Map<string, Member[]>} below
 */
export function comfortableDepth(root, below) {
  let level = [root];
  let drawn = 1;
  let depth = 0;
  while (level.length) {
    for (const id of level) drawn += weight(below.get(id) ?? [], below);
    level = level.flatMap((id) => (below.get(id) ?? []).map(({ peer }) => peer));
    if (!level.length || (depth > 0 && drawn > DRAWN_AT_MOST)) break;
    depth += 1;
  }
  return depth;
}

/** What the children of one peer count for. @param {Member[]} children @param {Map<string, Member[]>} below */
function weight(children, below) {
  const leaves = leavesOf(children, below).length;
  return children.length - leaves + leaves * (leaves >= CROWD_FROM ? DOT_COUNTS : 1);
}

/** @param {Member[]} children @param {Map<string, Member[]>} below */
function leavesOf(children, below) {
  return children.filter(({ peer, component }) => component === "receiver" && !below.has(peer));
}

/**
 * @param {Iterable<Member>} members
 * @param {{ folds: Map<string, boolean>, all: boolean, seats: Seats }} wishes what was folded and unfolded by hand; where the
 *   crowds stood the last time, which is changed
 * @returns {Picture}
 */
export function layOut(members, wishes) {
  const { root, below } = family(members);
  if (!root) return { spots: [], width: 0, height: 0 };
  const most = wishes.all ? Infinity : comfortableDepth(root.peer, below);
  const top = item(root, 0, below, most, wishes);
  for (const parent of wishes.seats.keys()) if (!below.has(parent)) wishes.seats.delete(parent);
  const hierarchy = d3.hierarchy(top, (/** @type {Item} */ i) => i.children);
  const size = (/** @type {any} */ node) => extent(node.data);
  d3
    .tree()
    .nodeSize([1, 1])
    .separation((/** @type {any} */ a, /** @type {any} */ b) => (size(a).width + size(b).width) / 2)(hierarchy);
  return place(hierarchy.descendants(), size);
}

/**
 * @param {Member} member
 * @param {number} depth
 * @param {Map<string, Member[]>} below
 * @param {number} most
 * @param {{ folds: Map<string, boolean>, seats: Seats }} wishes
 * @returns {Item}
 */
function item(member, depth, below, most, wishes) {
  const children = below.get(member.peer) ?? [];
  const folded = wishes.folds.get(member.peer) ?? depth >= most;
  /** @type {Item} */
  const made = { key: member.peer, member, crowd: [], children: [], hidden: 0 };
  if (folded && children.length) {
    made.hidden = count(member.peer, below);
    return made;
  }
  const leaves = leavesOf(children, below);
  const crowd = leaves.length >= CROWD_FROM ? leaves : [];
  const rest = crowd.length ? children.filter((child) => below.has(child.peer) || child.component !== "receiver") : children;
  made.children = rest.map((child) => item(child, depth + 1, below, most, wishes));
  if (!crowd.length) wishes.seats.delete(member.peer);
  else made.children.push({ key: `${member.peer}+`, member: null, crowd: seated(member.peer, crowd, wishes.seats), children: [], hidden: 0 });
  return made;
}

/**
 * A crowd where it stood: one who leaves moves nobody else, and whoever comes takes the first gap.
 * @param {string} parent
 * @param {Member[]} crowd
 * @param {Seats} seats
 */
function seated(parent, crowd, seats) {
  const here = new Map(crowd.map((member) => [member.peer, member]));
  let taken = (seats.get(parent) ?? []).map((peer) => (peer !== null && here.has(peer) ? peer : null));
  // Half empty it would look like nothing so much as an accident.
  if (taken.length > 2 * crowd.length) taken = taken.filter((peer) => peer !== null);
  const known = new Set(taken);
  let gap = 0;
  for (const { peer } of crowd) {
    if (known.has(peer)) continue;
    while (gap < taken.length && taken[gap] !== null) gap += 1;
    taken[gap] = peer;
  }
  while (taken.at(-1) === null) taken.pop();
  seats.set(parent, taken);
  return taken.map((peer) => here.get(peer ?? "") ?? null);
}

/**
 * @param {string} id
 * @param {Map<string, Member[]>} below
 * @returns {number}
 */
function count(id, below) {
  let found = 0;
  const open = [id];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const children = below.get(at) ?? [];
    found += children.length;
    open.push(...children.map(({ peer }) => peer));
  }
  return found;
}

function columns(/** @type {number} */ crowd) {
  return Math.min(Math.max(CROWD_COLUMNS, Math.ceil(Math.sqrt(crowd * 1.8))), crowd);
}

/** @param {Item} of */
function extent(of) {
  if (of.member) return NODE;
  const wide = columns(of.crowd.length);
  return { width: wide * DOT + 24, height: Math.ceil(of.crowd.length / wide) * DOT + 36 };
}

/**
 * From the layout's own measure to the picture's; levels are as high as the highest in them.
 * @param {any[]} nodes
 * @param {(node: any) => { width: number, height: number }} size
 * @returns {Picture}
 */
function place(nodes, size) {
  /** @type {number[]} */
  const heights = [];
  let [left, right] = [Infinity, -Infinity];
  for (const node of nodes) {
    const { width, height } = size(node);
    heights[node.depth] = Math.max(heights[node.depth] ?? 0, height);
    left = Math.min(left, node.x - width / 2);
    right = Math.max(right, node.x + width / 2);
  }
  let sum = MARGIN;
  const tops = heights.map((height) => (sum += height) - height);
  /** @type {Spot[]} */
  const spots = [];
  for (const node of nodes) {
    const parent = node.parent?.data.member?.peer ?? null;
    const [x, y] = [node.x - left + MARGIN, tops[node.depth]];
    const { data, depth } = /** @type {{ data: Item, depth: number }} */ (node);
    if (data.member) {
      const foldable = data.hidden > 0 || data.children.length > 0;
      const { member, hidden } = data;
      spots.push({ id: member.peer, member, parent, x, y, depth, hidden, small: false, foldable });
      continue;
    }
    const wide = columns(data.crowd.length);
    data.crowd.forEach((member, i) => {
      if (!member) return;
      const [column, row] = [i % wide, Math.floor(i / wide)];
      const at = { x: x + (column - (wide - 1) / 2) * DOT, y: y + row * DOT };
      spots.push({ id: member.peer, member, parent, ...at, depth, hidden: 0, small: true, foldable: false });
    });
  }
  return { spots, width: right - left + 2 * MARGIN, height: sum };
}
