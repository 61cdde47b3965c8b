// A SourceBuffer does one thing at a time and throws if asked for more: this asks one after another.

/**
 * @typedef {{ do: "append", bytes: Uint8Array<ArrayBuffer> } | { do: "abort" } | { do: "remove", end: number }
 *   | { do: "tell", done: () => void }} Job
 */

/** When a full buffer is tried again by itself, in milliseconds. */
const TRY_AGAIN = 500;

/** One SourceBuffer and what it has yet to do. */
export class BufferQueue {
  /** @type {Job[]} */
  #jobs = [];
  #closed = false;
  #held = false;
  #buffer;
  #listener;
  #next = () => this.#work();

  /**
   * @param {SourceBuffer} buffer
   * @param {{ full: () => void, failed: (words: string) => void }} listener
   */
  constructor(buffer, listener) {
    this.#buffer = buffer;
    this.#listener = listener;
    buffer.addEventListener("updateend", this.#next);
    buffer.addEventListener("error", () => this.#fail("the bytes were refused"));
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  append(bytes) {
    this.#add({ do: "append", bytes });
  }

  abort() {
    this.#add({ do: "abort" });
  }

  /** @param {boolean} held whether appending has to wait */
  hold(held) {
    this.#held = held;
    this.#work();
  }

  /** @param {number} end seconds; goes first, for it is what makes room */
  remove(end) {
    this.#jobs.unshift({ do: "remove", end });
    this.#work();
  }

  /** Resolves when all that was asked before is done. */
  settled() {
    return /** @type {Promise<void>} */ (new Promise((done) => this.#add({ do: "tell", done })));
  }

  close() {
    this.#closed = true;
    this.#buffer.removeEventListener("updateend", this.#next);
    for (const job of this.#jobs) if (job.do === "tell") job.done();
    this.#jobs = [];
  }

  /** @param {Job} job */
  #add(job) {
    if (this.#closed) {
      if (job.do === "tell") job.done();
      return;
    }
    this.#jobs.push(job);
    this.#work();
  }

  #work() {
    while (!this.#closed && !this.#buffer.updating) {
      if (this.#held && this.#jobs[0]?.do === "append") return;
      const job = this.#jobs.shift();
      if (!job) return;
      try {
        this.#start(job);
      } catch (error) {
        if (error instanceof DOMException && error.name === "QuotaExceededError") return this.#waitForRoom(job);
        return this.#fail(String(error));
      }
    }
  }

  /** @param {Job} job */
  #start(job) {
    if (job.do === "append") this.#buffer.appendBuffer(job.bytes);
    else if (job.do === "abort") this.#buffer.abort();
    else if (job.do === "remove") this.#buffer.remove(0, job.end);
    else job.done();
  }

  /** @param {Job} job */
  #waitForRoom(job) {
    this.#jobs.unshift(job);
    setTimeout(this.#next, TRY_AGAIN);
    this.#listener.full();
  }

  /** @param {string} words */
  #fail(words) {
    if (this.#closed) return;
    this.close();
    this.#listener.failed(words);
  }
}
