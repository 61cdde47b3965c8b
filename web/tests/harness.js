// Starts the real programs and a real browser for a test, and ends what it started.

import { execFile, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { get as httpGet } from "node:http";
import { get as httpsGet } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const TOP = fileURLToPath(new URL("../..", import.meta.url));
/** Waits are generous: a test says that something happens, a benchmark says how fast. */
export const PATIENCE = 30_000;

export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const TURNSERVER = process.env.TURNSERVER ?? "/usr/bin/turnserver";
export const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--disable-quic", "--autoplay-policy=no-user-gesture-required",
];

/** @typedef {import("../pkg/web.js").Stats} Stats */
/** @typedef {import("playwright-core").Page} Page */
/** @typedef {import("playwright-core").Browser} Browser */

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();
// Whatever happens to this process, it takes its children with it.
process.once("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** The program of `make test`'s build, or of the one that PROFILE names: a benchmark asks for release. */
export function program(/** @type {string} */ name) {
  const path = join(TOP, "target", process.env.PROFILE ?? "debug", name);
  if (!existsSync(path)) throw new Error(`${path} is not there: cargo build --workspace, or make build`);
  return path;
}

/** @returns {Promise<number>} a port nobody listens on */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== "object" || !address) throw new Error("no free port");
  return address.port;
}

/**
 * Looks until it is so, and gives what it saw.
 * @template T
 * @param {string} what in words, for when it is never so
 * @param {() => Promise<T> | T} look
 * @param {number} [patience] milliseconds
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, look, patience = PATIENCE) {
  const end = Date.now() + patience;
  /** @type {unknown} */
  let seen;
  while (Date.now() < end) {
    seen = await look();
    if (seen) return /** @type {NonNullable<T>} */ (seen);
    await sleep(50);
  }
  throw new Error(`waited ${patience} ms in vain until ${what}; saw ${JSON.stringify(seen)}`);
}

/**
 * The answer, if it comes in time.
 * @template T
 * @param {number} ms
 * @param {string} words
 * @param {Promise<T>} answer
 * @returns {Promise<T>}
 */
export function within(ms, words, answer) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${words} within ${ms} ms`)), ms);
  });
  return Promise.race([answer, /** @type {Promise<never>} */ (late)]).finally(() => clearTimeout(timer));
}

/** @param {number} ms */
export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * The value that a share of all is not above.
 * @param {number[]} values
 * @param {number} share
 */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/**
 * Whether a supervisor answers there; who signed its certificate is not asked.
 * @param {string} url
 * @returns {Promise<boolean>}
 */
function answers(url) {
  const get = url.startsWith("https:") ? httpsGet : httpGet;
  return new Promise((resolve) => {
    const request = get(url, { rejectUnauthorized: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    request.on("error", () => resolve(false));
  });
}

/**
 * One stream of the broadcaster: TOML below `[[stream]]`.
 * @param {string} name
 * @param {string} [more]
 * @param {string} [video] TOML below `[stream.video]`
 */
export function testPicture(name, more = "", video = "") {
  return `[[stream]]\nname = "${name}"\nsource = "test"\n${more}\n[stream.video]\nwidth = 640\nheight = 360\n${video}\n`;
}

/**
 * @param {string} name
 * @param {string} path of a WebM file
 * @param {boolean} loop whether it begins again at its end; else that is the stream's end
 */
export function film(name, path, loop = true) {
  return `[[stream]]\nname = "${name}"\nsource = { kind = "file", path = "${path}", loop = ${loop} }\n`;
}

/**
 * Makes a WebM file of five seconds, a key frame in each; gives its path.
 * @param {string} dir
 * @param {"vp8" | "vp9"} video
 * @param {"opus" | "vorbis"} audio
 */
export function makeFilm(dir, video, audio) {
  const path = join(dir, `${video}-${audio}.webm`);
  const pipeline = `webmmux name=mux ! filesink location=${path}
    videotestsrc num-buffers=125 pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=25/1
    ! ${video}enc deadline=1 cpu-used=8 target-bitrate=300000 keyframe-max-dist=25 ! queue ! mux.
    audiotestsrc num-buffers=250 samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=2 ! audioconvert
    ! ${audio}enc ! queue ! mux.`;
  execFileSync("gst-launch-1.0", ["-q", ...pipeline.split(/\s+/)]);
  return path;
}

/** What a peer has to send so that it can feed one of them the test picture, of 1.1 Mbit/s. */
export const ONE_CHILD_KBPS = 1_700;

/** Programs and browsers of one test. */
export class World {
  port = 0;
  dir = "";
  /** Whether the supervisor speaks TLS, with a certificate it made. */
  tls = false;
  /** How services prove who they are. @type {"elliptic" | "rsa"} */
  suite = "elliptic";
  /** @type {Map<string, import("node:child_process").ChildProcess>} */
  #programs = new Map();
  /** @type {string[]} */
  #log = [];
  /** @type {Browser[]} */
  #browsers = [];
  /** Frozen browsers, which no driver can close, and their process groups. @type {Map<Browser, number>} */
  #frozen = new Map();

  /**
   * Runs a test in a world of its own; what the programs said is shown if it fails.
   * @param {(world: World) => Promise<void>} test
   */
  static async run(test) {
    const world = new World();
    world.dir = await mkdtemp(join(tmpdir(), "ownstream-"));
    world.port = await freePort();
    let failed = true;
    try {
      await test(world);
      // A task of its own may panic while the program goes on.
      const panics = world.#log.filter((line) => line.includes("panicked at"));
      if (panics.length) throw new Error(panics.join("\n"));
      failed = false;
    } finally {
      if (failed) console.error(world.#log.join("\n"));
      await world.#end();
    }
  }

  /** What all programs and pages said so far, a line each. */
  get log() {
    return this.#log;
  }

  /** @param {string} [more] TOML */
  async supervisor(more = "") {
    const tls = this.tls ? '[tls]\nmode = "made"\n' : "";
    await this.#start("supervisor", `listen = "127.0.0.1:${this.port}"\nstate_dir = "${this.dir}/supervisor"\n${more}${tls}`);
    await until("the supervisor answers", () => answers(`http${this.tls ? "s" : ""}://127.0.0.1:${this.port}/health`));
  }

  /** @param {number} uplinkKbps */
  async relay(uplinkKbps = 100_000) {
    await this.#start("edge-relay", `${await this.#peer("relay")}name = "relay"\nuplink_kbps = ${uplinkKbps}\nloopback = true\n`);
  }

  /**
   * @param {string} streams TOML of `[[stream]]`s
   * @param {number} uplinkKbps
   */
  async broadcaster(streams, uplinkKbps = 20_000) {
    await this.#start("edge-broadcaster", `${await this.#peer("broadcaster")}uplink_kbps = ${uplinkKbps}\n${streams}`);
  }

  /** @param {"relay" | "broadcaster"} role */
  async #peer(role) {
    const token = await this.#joinToken(role);
    const lines = [`supervisor = "ws${this.tls ? "s" : ""}://127.0.0.1:${this.port}/peer"`, `state_dir = "${this.dir}/${role}"`];
    if (this.tls) lines.push(`supervisor_certificate = "${this.#printedFingerprint()}"`);
    return [...lines, `suites = ["${this.suite}"]`, `join_token = "${token}"`, ""].join("\n");
  }

  /** @param {"relay" | "broadcaster"} role */
  async #joinToken(role) {
    const arguments_ = ["token", "create", "--role", role, "--config", join(this.dir, "supervisor.toml")];
    const made = await promisify(execFile)(program("supervisor"), arguments_);
    return made.stdout.trim();
  }

  /**
   * A relay that is honest until it gets SIGUSR1; gives its PeerID once it is let in.
   * @param {string} trick it plays on its children then: see testbed/src/liar.rs
   * @param {number} uplinkKbps
   */
  async liar(trick, uplinkKbps = 100_000) {
    const about = ["--state-dir", join(this.dir, "liar"), "--uplink-kbps", String(uplinkKbps), "--trick", trick];
    const approach = ["--supervisor", `ws://127.0.0.1:${this.port}/peer`, "--join-token", await this.#joinToken("relay")];
    this.#spawn("liar", program("liar"), [...approach, ...about]);
    await this.said("liar: Accepted");
    const named = /^liar: \{"peer":"(\w+)"\}$/;
    return until("it says its name", () => this.#log.map((line) => named.exec(line)?.[1]).find(Boolean));
  }

  /** The fingerprint of its certificate, as the supervisor prints it for people to copy. */
  #printedFingerprint() {
    const line = this.#log.find((said) => said.includes("its SHA-256 fingerprint is"));
    return line?.split(" ").at(-1) ?? "";
  }

  /**
   * A link that lets its bearer watch: what follows the host in it.
   * @param {string} stream that is on the air, or soon will be
   * @param {string} expires such as 2h
   */
  async invite(stream, expires) {
    const arguments_ = ["invite", stream, "--expires", expires, "--config", join(this.dir, "supervisor.toml")];
    const made = await promisify(execFile)(program("supervisor"), arguments_);
    const link = made.stdout.trim();
    return link.slice(link.indexOf("/watch/"));
  }

  /** Sets the operator's password. @param {string} password */
  async setPassword(password) {
    const arguments_ = ["operator-password", "--config", join(this.dir, "supervisor.toml")];
    const child = spawn(program("supervisor"), arguments_, { stdio: ["pipe", "ignore", "inherit"] });
    child.stdin.end(`${password}\n`);
    const code = await new Promise((resolve) => child.once("exit", resolve));
    if (code !== 0) throw new Error("the password was not taken");
  }

  /**
   * Viewers without a browser, in one process; gives what each of them said last, by its peer's id.
   * @param {string} name of the process
   * @param {string[]} arguments_
   */
  headless(name, ...arguments_) {
    const child = spawn(program("receiver"), ["--supervisor", `ws://127.0.0.1:${this.port}/peer`, "--interval-ms", "500", ...arguments_], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    running.add(child);
    child.once("exit", () => running.delete(child));
    this.#programs.set(name, child);
    /** @type {Map<string, any>} */
    const said = new Map();
    createInterface({ input: child.stdout }).on("line", (line) => {
      const figures = JSON.parse(line);
      said.set(figures.peer, figures);
    });
    return said;
  }

  /**
   * @param {string} name
   * @param {string} config
   */
  async #start(name, config) {
    const path = join(this.dir, `${name}.toml`);
    await writeFile(path, `metrics = "off"\n${config}`); // tests share this machine, and its ports
    this.#spawn(name, program(name), [path]);
  }

  /**
   * @param {string} name
   * @param {string} path
   * @param {string[]} arguments_
   */
  #spawn(name, path, arguments_) {
    const child = spawn(path, arguments_, { stdio: ["ignore", "pipe", "pipe"] });
    const take = (/** @type {Buffer} */ data) => {
      for (const line of data.toString().split("\n")) if (line) this.#log.push(`${name}: ${line}`);
    };
    child.stdout?.on("data", take);
    child.stderr?.on("data", take);
    child.on("error", (error) => this.#log.push(`${name}: ${error}`));
    running.add(child);
    child.once("exit", () => running.delete(child));
    this.#programs.set(name.replace("edge-", ""), child);
  }

  /**
   * A TURN server on the loopback interface, Debian's coturn; gives what the supervisor has to be told to use it.
   * @param {string} secret that it shares with the supervisor
   * @param {string} [more] lines of its configuration
   */
  async turn(secret, more = "") {
    const port = await freePort();
    const config = `listening-ip=127.0.0.1
listening-port=${port}
relay-ip=127.0.0.1
allow-loopback-peers
realm=edge.test
use-auth-secret
static-auth-secret=${secret}
no-tcp
no-tls
no-dtls
no-cli
no-rfc5780
userdb=${this.dir}/turn.db
pidfile=${this.dir}/turn.pid
log-file=stdout
verbose
${more}
`;
    const path = join(this.dir, "turnserver.conf");
    await writeFile(path, config);
    this.#spawn("turnserver", TURNSERVER, ["-c", path]);
    await until("the TURN server listens", () => this.#log.some((line) => line.includes("UDP listener opened on")));
    return `[turn]\nurls = ["turn:127.0.0.1:${port}?transport=udp"]\nsecret = "${secret}"\nlifetime_s = 60\n`;
  }

  /**
   * Ends one program.
   * @param {string} name
   * @param {NodeJS.Signals} signal
   */
  async kill(name, signal = "SIGTERM") {
    const child = this.#programs.get(name);
    if (!child) return;
    this.#programs.delete(name);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    // Its own grace, and some more.
    const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await gone;
    clearTimeout(timer);
  }

  /** Waits until one of the programs has said this. @param {string} words */
  async said(words) {
    await until(`somebody says ${words}`, () => this.#log.some((line) => line.includes(words)));
  }

  /** Says this to one program, without waiting. @param {string} name @param {NodeJS.Signals} signal */
  signal(name, signal) {
    this.#programs.get(name)?.kill(signal);
  }

  /**
   * A browser of its own; pages of one browser share its profile.
   * @param {string[]} flags
   */
  async browser(flags = []) {
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, ...flags] });
    this.#browsers.push(browser);
    return browser;
  }

  /**
   * Stops a browser with all its processes in the middle of what they do: nobody says good-bye.
   * @param {Browser} browser
   */
  async freeze(browser) {
    const [group] = await processes(browser, "browser");
    this.#browsers = this.#browsers.filter((other) => other !== browser);
    this.#frozen.set(browser, group);
    process.kill(-group, "SIGSTOP");
  }

  /** Lets a frozen browser go on where it stood. @param {Browser} browser */
  thaw(browser) {
    const group = this.#frozen.get(browser);
    if (!group) throw new Error("a browser that is not frozen");
    this.#frozen.delete(browser);
    this.#browsers.push(browser);
    process.kill(-group, "SIGCONT");
  }

  /**
   * Opens the page.
   * @param {Browser | import("playwright-core").BrowserContext} where
   * @param {string} path
   * @param {string} [host]
   */
  async open(where, path, host = "127.0.0.1") {
    const page = await where.newPage();
    page.on("console", (message) => this.#log.push(`page: ${message.text()}`));
    page.on("pageerror", (error) => this.#log.push(`page: ${error.stack}`));
    await page.goto(`http${this.tls ? "s" : ""}://${host}:${this.port}${path}`);
    return page;
  }

  /**
   * A page that watches, once its picture moves.
   * @param {Browser | import("playwright-core").BrowserContext} where
   * @param {string} stream
   * @param {string} [query]
   */
  async viewer(where, stream, query = "") {
    const page = await this.open(where, `/watch/${encodeURIComponent(stream)}${query}`);
    await plays(page);
    return page;
  }

  async #end() {
    for (const group of this.#frozen.values()) process.kill(-group, "SIGKILL");
    const closed = this.#browsers.map((browser) => browser.close());
    const killed = [...this.#programs.keys()].map((name) => this.kill(name));
    await Promise.allSettled([...closed, ...killed]);
    await rm(this.dir, { recursive: true, force: true });
  }
}

/**
 * The numbers of a browser's processes of this type. That of type "browser" leads the process group of all of them: so
 * Playwright starts it.
 * @param {Browser} browser
 * @param {"browser" | "renderer"} type
 */
async function processes(browser, type) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const found = processInfo.filter((one) => one.type === type).map(({ id }) => id);
  if (!found.length) throw new Error(`a browser without a process of type ${type}`);
  return found;
}

/** Kills a browser with all its processes. @param {Browser} browser */
export async function killBrowser(browser) {
  const [group] = await processes(browser, "browser");
  process.kill(-group, "SIGKILL");
}

/** Kills the processes that a browser's pages run in, and leaves the browser itself. @param {Browser} browser */
export async function killRenderers(browser) {
  for (const id of await processes(browser, "renderer")) process.kill(id, "SIGKILL");
}

/**
 * @param {Page} page
 * @returns {Promise<Stats>}
 */
export async function stats(page) {
  return page.evaluate("window.ownstream.stats()");
}

/**
 * Waits until pages are one below the other; gives them from the top down, with their figures. As they stand: on a machine
 * with too much to do a page may have fallen silent, and stand further down since.
 * @param {Page[]} pages
 */
export function inChain(pages) {
  return until("they are a chain", async () => {
    const all = await Promise.all(pages.map(async (page) => ({ page, ...(await stats(page)) })));
    all.sort((one, other) => one.depth - other.depth);
    return all.every(({ parent }, i) => i === 0 || parent === all[i - 1].peer) ? all : null;
  });
}

/**
 * Waits until a page has a parent again, which is another than this one.
 * @param {Page} page
 * @param {string} lost
 */
export async function isFedByAnotherThan(page, lost) {
  await until("it has another parent", async () => {
    const { parent } = await stats(page);
    return parent !== null && parent !== lost;
  });
}

/**
 * Waits until the play head of the page has moved on by a second.
 * @param {Page} page
 */
export async function plays(page) {
  await page.waitForFunction("window.ownstream !== undefined", undefined, { timeout: PATIENCE });
  const first = await until("the first picture", async () => {
    const now = await stats(page);
    return now?.started ? now : null;
  });
  await until("the play head moves on", async () => (await stats(page)).positionMs > first.positionMs + 1_000);
}

/**
 * What a viewer sees of the test picture's clock (edge-broadcaster/src/capture/picture.rs has its geometry):
 * milliseconds of the broadcaster's clock. Runs in the page.
 * @param {[number, number] | undefined} [size] of the picture that was drawn, if it was made smaller since
 */
export function readClock(size) {
  const video = /** @type {HTMLVideoElement} */ (document.querySelector("video"));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = size ?? [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context || !canvas.width) return 0;
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  let time = 0;
  for (let i = 0; i < 32; i += 1) {
    const [x, y] = [32 + 16 * (i % 16) + 8, 32 + 16 * Math.floor(i / 16) + 8];
    const [red, green, blue] = context.getImageData(x, y, 1, 1).data;
    time = time * 2 + (red + green + blue > 3 * 128 ? 1 : 0);
  }
  return time;
}

/**
 * @param {Page} page
 * @param {[number, number]} [size]
 * @returns {Promise<number>}
 */
export function clockInPicture(page, size) {
  return page.evaluate(readClock, size);
}

/**
 * Waits until the clock in a page's picture is `further` on, in milliseconds.
 * @param {Page} page
 * @param {[number, number]} [size] as for readClock
 */
export async function clockAdvances(page, further = 500, size = undefined) {
  const before = await clockInPicture(page, size);
  await until("the clock in the picture advances", async () => (await clockInPicture(page, size)) > before + further);
}
