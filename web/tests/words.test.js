// What the page says, and when.
import assert from "node:assert/strict";
import { test } from "node:test";
import { healthWords } from "../app/monitor/words.js";
import { message, supervisor } from "../app/words.js";

/** A page that plays a stream. */
const PLAYS = {
  refused: null,
  turnedAway: null,
  connected: true,
  everConnected: true,
  name: "garden",
  listed: true,
  live: true,
  hasVideo: true,
  problem: null,
  ended: false,
  hasParent: true,
  unreached: false,
  started: true,
  stalled: false,
  blocked: false,
};

test("who has lost supervisor and parent is told that the supervisor is being looked for", () => {
  const lost = { ...PLAYS, connected: false, hasParent: false, stalled: true };
  assert.deepEqual(message(lost), { state: "stalled", words: "Reconnecting to the supervisor…", busy: true });
});

test("who is fed, and waits, is told nothing of the supervisor that is away", () => {
  const late = { ...PLAYS, connected: false, stalled: true };
  assert.equal(message(late).words, "Waiting for the stream…");
});

test("the corner says why the supervisor will not have us, even while a picture plays", () => {
  const refused = { ...PLAYS, connected: false, refused: "The supervisor refuses: too many peers" };
  assert.equal(message(refused).state, "playing");
  assert.deepEqual(supervisor(refused), { state: "refused", words: "The supervisor refuses: too many peers" });
});

test("who is not let into a stream reads so in its place, and stays connected", () => {
  const uninvited = { ...PLAYS, hasParent: false, started: false, turnedAway: "Ask for a link." };
  assert.deepEqual(message(uninvited), { state: "refused", words: "Ask for a link.", busy: false });
  assert.equal(supervisor(uninvited).words, "Connected");
});

test("a board in trouble says so in the line that said that it is well, the worst first", () => {
  const well = { uptime_s: 3_600, memory_free: 600e6, memory_total: 1e9, disk_free: 5e9, disk_total: 10e9, load: 0.2 };
  const busy = healthWords({ ...well, load: 1.5 });
  const worse = healthWords({ ...well, load: 1.5, under_voltage: true });
  assert.equal(healthWords(well)[0].words, "The board is well.");
  assert.deepEqual(busy[0], { mood: "warn", words: "More work than its processor can do." });
  assert.ok(worse[0].mood === "bad" && /^Power supply.*More work than its processor can do\.$/u.test(worse[0].words));
  for (const said of [busy, worse]) assert.deepEqual(said.slice(1), healthWords(well).slice(1));
});
