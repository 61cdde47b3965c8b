// Beats time from a worker: a hidden tab's own timers drop to one beat a second, a worker's stay as they are
// (measured), and a peer that falls silent for a second is taken for dead by its children.

/** Milliseconds between beats; the player wants to look at its play head this often. */
const BEAT = 50;

/**
 * Calls `beat` every 50 ms, in hidden tabs too.
 * @param {() => void} beat
 * @returns {() => void} ends it
 */
export function startTicker(beat) {
  const worker = new Worker(new URL("./ticker-worker.js", import.meta.url));
  worker.onmessage = beat;
  worker.postMessage(BEAT);
  return () => worker.terminate();
}
