// What the page says, and when: one place for all of it, and no knowledge of where it is shown.

/**
 * All that the words depend on.
 * @typedef {object} Situation
 * @property {boolean} connected to the supervisor
 * @property {boolean} everConnected
 * @property {string | null} refused why the supervisor will not have us
 * @property {string | null} turnedAway why it lets us not into this stream
 * @property {string | null} name of the stream that is wanted
 * @property {boolean} listed the stream is there
 * @property {boolean} live its broadcaster is connected
 * @property {boolean} hasVideo
 * @property {string | null} problem why it cannot be played here
 * @property {boolean} ended
 * @property {boolean} hasParent
 * @property {boolean} unreached a connection to a parent came to nothing, and none has come about since
 * @property {boolean} started
 * @property {boolean} stalled
 * @property {boolean} blocked the browser wants a click first
 */

/**
 * @typedef {object} Message
 * @property {"playing" | "listening" | "waiting" | "stalled" | "blocked" | "ended" | "refused" | "unplayable"} state
 * @property {string} words
 * @property {boolean} busy something is under way
 */

/**
 * What stands over the picture.
 * @param {Situation} s
 * @returns {Message}
 */
export function message(s) {
  if (s.problem) return { state: "unplayable", words: s.problem, busy: false };
  if (s.ended) return { state: "ended", words: "The stream has ended.", busy: false };
  if (s.blocked) return { state: "blocked", words: "Your browser plays this when you say so.", busy: false };
  if (s.started && !s.stalled) {
    return s.hasVideo ? { state: "playing", words: "", busy: false } : { state: "listening", words: "Sound only", busy: false };
  }
  const refused = s.turnedAway ?? s.refused;
  if (refused) return { state: "refused", words: refused, busy: false };
  return { state: s.started ? "stalled" : "waiting", words: waiting(s), busy: true };
}

/** When what decides for this page has failed for good. */
export const BROKEN = "Something in this page broke; load it anew.";

/** @param {string} what this browser has not got, and no viewer can do without */
export function missing(what) {
  return `This browser cannot take part: ${what} is missing or switched off.`;
}

const UNREACHED = "This browser reaches nobody who has the stream. Trying again…";

/** @param {Situation} s */
function waiting(s) {
  if (!s.connected && !(s.started && s.hasParent)) return supervisor(s).words;
  if (!s.listed && s.connected) return `Waiting for the stream “${s.name}”…`;
  if (s.listed && !s.live) return "The camera is away. Waiting for it to come back…";
  if (!s.hasParent) return s.unreached && !s.started ? UNREACHED : "Waiting for a place in the stream…";
  return s.started ? "Waiting for the stream…" : "Waiting for the first picture…";
}

/**
 * What stands in the corner.
 * @param {Situation} s
 * @returns {{ state: "connected" | "connecting" | "lost" | "refused", words: string }}
 */
export function supervisor(s) {
  if (s.refused) return { state: "refused", words: s.refused };
  if (s.connected) return { state: "connected", words: "Connected" };
  if (s.everConnected) return { state: "lost", words: "Reconnecting to the supervisor…" };
  return { state: "connecting", words: "Connecting to the supervisor…" };
}

/**
 * @param {string} why a word for programs
 * @param {string} words
 * @param {boolean} invited whether the address came with an invitation
 */
export function refusal(why, words, invited) {
  switch (why) {
    case "NoSuchStream":
      return "There is no such stream.";
    case "NotInvited":
      if (!invited) return "This stream is for those who are invited: open the link you were given.";
      return `Your link does not let you in: ${words}. Ask for a new one.`;
    default:
      return `The supervisor refuses: ${words || why}`;
  }
}

/** @param {number} viewers */
export function viewers(viewers) {
  return viewers === 1 ? "1 viewer" : `${viewers} viewers`;
}

/** @param {import("../pkg/web.js").StreamTrack[]} tracks */
export function tracks(tracks) {
  const names = tracks.map(({ codec }) => codec).join(" + ");
  if (!tracks.some(({ track }) => track === "video")) return `${names}, sound only`;
  return tracks.some(({ track }) => track === "audio") ? names : `${names}, no sound`;
}

/** @param {number} kbps */
export function rate(kbps) {
  return kbps >= 1000 ? `${(kbps / 1000).toFixed(1)} Mbit/s` : `${Math.round(kbps)} kbit/s`;
}

/** @param {number} bytes */
export function bytes(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${Math.round(bytes / 1e3)} kB`;
}
