// The socket to the supervisor: JSON texts, carried and not looked into.

/** Pause before the first new attempt, and the longest, in milliseconds. Guess: a supervisor restarts in a second. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 8_000;
/** Only a conversation that goes on for so long after the supervisor took us in makes the next pause a short one again,
 * in milliseconds: one that closes it at once would be asked several times a second. As in peer/src/signalling.rs. */
const HOLDS = 10_000;
/** An attempt that takes longer is given up, in milliseconds. As there. */
const CONNECT_LIMIT = 5_000;

/**
 * @typedef {object} Listener
 * @property {() => void} up
 * @property {() => void} down
 * @property {(text: string) => void} text
 */

/** A WebSocket that comes back by itself. */
export class Signalling {
  /** @type {WebSocket | null} */
  #socket = null;
  #pause = FIRST_PAUSE;
  /** When the supervisor took us in, in this conversation. @type {number | null} */
  #settled = null;
  #closed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #url;
  #listener;

  /**
   * @param {string} url
   * @param {Listener} listener
   */
  constructor(url, listener) {
    this.#url = url;
    this.#listener = listener;
    this.#connect();
  }

  #connect() {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    // A browser waits for minutes for a host that does not answer.
    const limit = setTimeout(() => socket.close(), CONNECT_LIMIT);
    socket.onopen = () => {
      clearTimeout(limit);
      this.#listener.up();
    };
    socket.onmessage = (event) => {
      if (typeof event.data === "string") this.#listener.text(event.data);
    };
    socket.onclose = () => {
      clearTimeout(limit);
      if (this.#socket !== socket) return;
      this.#socket = null;
      if (this.#settled !== null && performance.now() - this.#settled >= HOLDS) this.#pause = FIRST_PAUSE;
      this.#settled = null;
      this.#listener.down();
      this.#connectLater();
    };
  }

  #connectLater() {
    if (this.#closed) return;
    // Jitter, so that a thousand pages do not come back in the same moment.
    const pause = this.#pause * (0.5 + Math.random() / 2);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
    this.#timer = setTimeout(() => this.#connect(), pause);
  }

  /** The supervisor took us in: if that lasts, the next pause is a short one again. */
  settle() {
    this.#settled = performance.now();
  }

  /** @param {string} text */
  send(text) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  /**
   * Closes the socket; it comes back.
   * @param {string} reason
   */
  hangUp(reason) {
    console.info("supervisor hung up on:", reason);
    this.#socket?.close();
  }

  /** Closes the socket for good. */
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }
}

/** Where the supervisor of this page listens. */
export function supervisorUrl() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}/peer`;
}
