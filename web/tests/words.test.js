// What the page says, and when.
import assert from "node:assert/strict";
import { test } from "node:test";
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
