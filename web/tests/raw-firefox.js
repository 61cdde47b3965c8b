// Firefox over WebDriver BiDi, with nothing in between but a socket.

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PATIENCE, freePort, until, within } from "./harness.js";
import { connect } from "./web-socket.js";

const FIREFOX = process.env.FIREFOX ?? "/usr/bin/firefox-esr";
/** No first-run pages, no telemetry, nothing fetched; sound may begin by itself. */
const PREFERENCES = {
  "media.autoplay.default": 0,
  "media.peerconnection.ice.loopback": true,
  "app.update.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.page": 0,
  "datareporting.policy.dataSubmissionEnabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "toolkit.telemetry.reportingpolicy.firstRun": false,
};

/** One Firefox with one tab. */
export class RawFirefox {
  #asked = 0;
  /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
  #waiting = new Map();
  /** @type {{ send: (text: string) => void, close: () => void } | undefined} */
  #socket;
  #context = "";
  #child;

  /**
   * @param {string} profile a directory
   * @param {number} port
   */
  constructor(profile, port) {
    mkdirSync(profile, { recursive: true });
    const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});`);
    writeFileSync(join(profile, "user.js"), lines.join("\n"));
    const args = ["--headless", "--no-remote", "--profile", profile, `--remote-debugging-port=${port}`];
    this.#child = spawn(FIREFOX, args, { stdio: "ignore" });
  }

  /** @param {string} profile a directory */
  static async begin(profile) {
    const port = await freePort();
    const firefox = new RawFirefox(profile, port);
    try {
      const take = (/** @type {string} */ text) => firefox.#take(JSON.parse(text));
      firefox.#socket = await until("Firefox listens", () => connect(`ws://127.0.0.1:${port}/session`, take).catch(() => null));
      await firefox.ask("session.new", { capabilities: {} });
      const tree = await firefox.ask("browsingContext.getTree", {});
      firefox.#context = tree.contexts[0].context;
      return firefox;
    } catch (error) {
      await firefox.close();
      throw error;
    }
  }

  /** @param {{ id?: number, type?: string, result?: unknown, error?: string, message?: string }} answer */
  #take({ id, type, result, error, message }) {
    const waiting = this.#waiting.get(id ?? 0);
    if (!waiting) return;
    this.#waiting.delete(id ?? 0);
    if (type === "error") waiting.reject(new Error(`${error}: ${message}`));
    else waiting.resolve(result);
  }

  /**
   * @param {string} method
   * @param {object} params
   * @returns {Promise<any>}
   */
  ask(method, params) {
    const id = (this.#asked += 1);
    this.#socket?.send(JSON.stringify({ id, method, params }));
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    return within(PATIENCE, `no answer to ${method}`, answer);
  }

  /** @param {string} url */
  open(url) {
    return this.ask("browsingContext.navigate", { context: this.#context, url, wait: "complete" });
  }

  /**
   * Runs a function of the page; its value comes back as JSON.
   * @template T
   * @param {() => T} question
   * @returns {Promise<T>}
   */
  async evaluate(question) {
    const expression = `JSON.stringify((${question})() ?? null)`;
    const answer = await this.ask("script.evaluate", { expression, target: { context: this.#context }, awaitPromise: true });
    if (answer.type !== "success") throw new Error(JSON.stringify(answer.exceptionDetails));
    return JSON.parse(answer.result.value);
  }

  async close() {
    this.#socket?.close();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await gone;
  }
}
