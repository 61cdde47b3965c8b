// Chromium over its own debugging protocol, without a driver in between: Playwright makes every tab believe that it
// is in front, and a tab that is not is what we want to see.

import { spawn } from "node:child_process";
import { CHROMIUM, FLAGS, PATIENCE, sleep, within } from "./harness.js";

/** One Chromium. */
export class RawChromium {
  #asked = 0;
  /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
  #waiting = new Map();
  #child;
  #to;

  /** @param {string} profile a directory */
  constructor(profile) {
    const args = ["--headless=new", "--remote-debugging-pipe", `--user-data-dir=${profile}`, ...FLAGS, "about:blank"];
    this.#child = spawn(CHROMIUM, args, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.#to = /** @type {import("node:stream").Writable} */ (this.#child.stdio[3]);
    const from = /** @type {import("node:stream").Readable} */ (this.#child.stdio[4]);
    let rest = "";
    from.setEncoding("utf8").on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop() ?? "";
      messages.forEach((message) => this.#take(JSON.parse(message)));
    });
  }

  /** @param {{ id?: number, result?: unknown, error?: { message: string } }} message */
  #take({ id, result, error }) {
    const waiting = this.#waiting.get(id ?? 0);
    if (!waiting) return;
    this.#waiting.delete(id ?? 0);
    if (error) waiting.reject(new Error(error.message));
    else waiting.resolve(result);
  }

  /**
   * @param {string} method
   * @param {object} [params]
   * @param {string} [sessionId]
   * @returns {Promise<any>}
   */
  ask(method, params = {}, sessionId) {
    const id = (this.#asked += 1);
    this.#to.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    return within(PATIENCE, `no answer to ${method}`, answer);
  }

  /** @param {string} url */
  async open(url) {
    const { targetId } = await this.ask("Target.createTarget", { url });
    const { sessionId } = await this.ask("Target.attachToTarget", { targetId, flatten: true });
    return new RawTab(this, targetId, sessionId);
  }

  async close() {
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await gone;
  }
}

/** One of its tabs. */
export class RawTab {
  /**
   * @param {RawChromium} browser
   * @param {string} targetId
   * @param {string} sessionId
   */
  constructor(browser, targetId, sessionId) {
    this.browser = browser;
    this.targetId = targetId;
    this.sessionId = sessionId;
  }

  /** Puts it in front of the other tabs. */
  activate() {
    return this.browser.ask("Target.activateTarget", { targetId: this.targetId });
  }

  /** @param {string} expression */
  async evaluate(expression) {
    const question = { expression, returnByValue: true, awaitPromise: true };
    for (const end = Date.now() + PATIENCE; ; ) {
      try {
        const { result } = await this.browser.ask("Runtime.evaluate", question, this.sessionId);
        return result.value;
      } catch (error) {
        // A tab that has just been opened has no page yet to ask.
        const early = String(error).includes("Cannot find default execution context");
        if (!early || Date.now() > end) throw error;
        await sleep(50);
      }
    }
  }
}
