// Where the monitor draws everybody: the arrangement by itself, which knows no document.
import assert from "node:assert/strict";
import { test } from "node:test";
import { comfortableDepth, family, layOut } from "../app/monitor/layout.js";

/** @typedef {import("../app/monitor/api.js").Member} Member */
/** @typedef {import("../app/monitor/layout.js").Spot} Spot */

/** @param {string} peer @param {string | null} parent @param {Partial<Member>} [more] @returns {Member} */
function member(peer, parent, more = {}) {
  return {
    peer, parent, component: "receiver", name: null, software: "test", backup: null,
    state: "well", since_us: 0, report: null, health: null, ...more,
  };
}

const broadcaster = member("root", null, { component: "broadcaster" });

/** @param {number} many @param {string} parent */
function viewers(many, parent) {
  return Array.from({ length: many }, (_, n) => member(`${parent}.${n}`, parent, { since_us: n }));
}

/** A tree in which each has two children. @param {number} many */
function binaryTree(many) {
  const name = (/** @type {number} */ n) => (n === 0 ? "root" : `viewer${n}`);
  return [broadcaster, ...Array.from({ length: many }, (_, n) => member(name(n + 1), name(Math.floor(n / 2)), { since_us: n }))];
}

/** @param {Member[]} members @param {{ all?: boolean, folds?: Map<string, boolean>, seats?: import("../app/monitor/layout.js").Seats }} [wishes] */
function arranged(members, wishes = {}) {
  return layOut(members, { folds: new Map(), all: false, seats: new Map(), ...wishes });
}

/** @param {Spot[]} spots @returns {Map<string, { x: number, y: number }>} */
function places(spots) {
  return new Map(spots.map(({ id, x, y }) => [id, { x, y }]));
}

test("a stream without its broadcaster has no picture", () => {
  assert.deepEqual(arranged([]), { spots: [], width: 0, height: 0 });
  assert.deepEqual(arranged(viewers(2, "root")), { spots: [], width: 0, height: 0 });
});

test("children stand below their parent, nobody covers anybody, and all is within the picture", () => {
  const { spots, width, height } = arranged(binaryTree(30));
  const at = places(spots);
  assert.equal(spots.length, 31);
  for (const { id, parent, x, y } of spots) {
    assert.ok(x > 0 && x < width && y > 0 && y < height, `${id} is outside`);
    const above = at.get(parent ?? "");
    assert.ok(!above || above.y < y, `${id} is not below ${parent}`);
  }
  const rows = new Map(spots.map(({ y }) => [y, spots.filter((spot) => spot.y === y).map(({ x }) => x).sort((a, b) => a - b)]));
  for (const [y, row] of rows) row.forEach((x, i) => assert.ok(i === 0 || x - row[i - 1] >= 92, `two at ${x} and ${row[i - 1]} of height ${y}`));
});

test("eight viewers of one parent have their names, and nine are a crowd of dots", () => {
  const small = (/** @type {number} */ many) => arranged([broadcaster, ...viewers(many, "root")]).spots.filter((spot) => spot.small).length;
  assert.equal(small(8), 0);
  assert.equal(small(9), 9);
});

test("who leaves a crowd moves nobody in it, and who comes takes the gap", () => {
  const seats = new Map();
  const crowd = viewers(20, "root");
  const before = places(arranged([broadcaster, ...crowd], { seats }).spots);
  const stayed = crowd.filter(({ peer }) => peer !== "root.3" && peer !== "root.7");
  const without = places(arranged([broadcaster, ...stayed], { seats }).spots);
  for (const { peer } of stayed) assert.deepEqual(without.get(peer), before.get(peer), `${peer} has moved`);

  const newcomer = member("newcomer", "root", { since_us: 100 });
  const after = places(arranged([broadcaster, ...stayed, newcomer], { seats }).spots);
  assert.deepEqual(after.get("newcomer"), before.get("root.3"));
  for (const { peer } of stayed) assert.deepEqual(after.get(peer), before.get(peer), `${peer} has moved`);
});

test("a crowd that has lost more than half of its viewers moves together", () => {
  const seats = new Map();
  const crowd = viewers(40, "root");
  arranged([broadcaster, ...crowd], { seats });
  const few = crowd.filter((_, n) => n % 4 === 0);
  const { spots } = arranged([broadcaster, ...few], { seats });
  const fresh = arranged([broadcaster, ...few]).spots;
  assert.deepEqual(places(spots), places(fresh));
});

test("whoever feeds nobody any more leaves no seats behind", () => {
  const seats = new Map();
  const relay = member("relay", "root", { component: "relay" });
  arranged([broadcaster, relay, ...viewers(12, "relay")], { seats });
  assert.deepEqual([...seats.keys()], ["relay"]);
  arranged([broadcaster, relay], { seats });
  assert.equal(seats.size, 0);
});

test("a large tree is folded where it becomes too much, and says how many are not drawn", () => {
  const members = binaryTree(1000);
  const { root, below } = family(members);
  const depth = comfortableDepth(root?.peer ?? "", below);
  const { spots } = arranged(members);
  assert.ok(spots.length <= 160, `${spots.length} are drawn`);
  assert.equal(Math.max(...spots.map((spot) => spot.depth)), depth);
  assert.equal(spots.length + spots.reduce((sum, { hidden }) => sum + hidden, 0), members.length);
  assert.equal(arranged(members, { all: true }).spots.length, members.length);
});

test("what was folded by hand stays folded, and what was unfolded by hand is drawn in a tree that is too large", () => {
  const members = binaryTree(1000);
  const folded = arranged(members, { folds: new Map([["root", true]]) }).spots;
  assert.deepEqual(folded.map(({ id, hidden }) => ({ id, hidden })), [{ id: "root", hidden: 1000 }]);

  const last = arranged(members).spots.find(({ hidden }) => hidden > 0);
  assert.ok(last);
  const opened = arranged(members, { folds: new Map([[last.id, false]]) }).spots;
  assert.equal(opened.filter(({ parent }) => parent === last.id).length, 2);
});

test("a viewer whose socket is closed is drawn as long as it feeds somebody", () => {
  const away = member("away", "root", { state: "away" });
  const drawn = (/** @type {Member[]} */ members) => arranged(members).spots.map(({ id }) => id);
  assert.deepEqual(drawn([broadcaster, away]), ["root"]);
  assert.deepEqual(drawn([broadcaster, away, member("child", "away")]), ["root", "away", "child"]);
});

test("who is fed by somebody unknown, and who stand in a circle, are left out and cost nobody his place", () => {
  const lost = [member("orphan", "nobody"), member("one", "other"), member("other", "one")];
  const { spots } = arranged([broadcaster, member("viewer", "root"), ...lost]);
  assert.deepEqual(spots.map(({ id }) => id), ["root", "viewer"]);
});
