// The monitor page: logs in, follows one stream's events, and hands what they say to those who show it.

import { AccessPanel } from "./monitor/access.js";
import { Feed, call } from "./monitor/api.js";
import { showBoxes } from "./monitor/boxes.js";
import { Chart } from "./monitor/charts.js";
import { Control } from "./monitor/control.js";
import { Course, Histories, moment } from "./monitor/numbers.js";
import { byId, fill, html, make, setText } from "./monitor/page.js";
import { PeerPanel } from "./monitor/peer-panel.js";
import { TreePicture } from "./monitor/tree.js";
import { TrialPanel } from "./monitor/trial.js";
import * as words from "./monitor/words.js";

/** @typedef {import("./monitor/api.js").Member} Member */
/** @typedef {import("./monitor/api.js").Stream} Stream */

/** Lines of what happened that are kept. */
const LINES = 200;
/** Somebody who scrolled up so far, in pixels, reads. */
const READING = 40;
/** In the address, while it is shown who may come in. */
const ACCESS = "#access";

/** @type {Feed | null} */
let feed = null;
/** @type {import("./monitor/api.js").Streams} */
let listed = { streams: [], ended: [] };
/** @type {string | null} */
let watched = null;
/** @type {Stream | null} */
let stream = null;
/** @type {Map<string, Member>} */
const members = new Map();
let course = new Course();
let histories = new Histories();
/** Whether the end of the list of what happened is about to be shown, and whether it must not be. */
let isFollowing = false;
let isReading = false;
/** What peers that are gone were called. @type {Map<string, string>} */
const names = new Map();
/** How often something was shown, for the benchmark. */
let updates = 0;

const tree = new TreePicture(byId("tree", SVGSVGElement), choose, (peer) => histories.isStalled(peer, now()));
const panel = new PeerPanel(
  () => members,
  () => watched,
  (peer) => histories.of(peer),
  choose,
);
const control = new Control(() => stream);
const trial = new TrialPanel(() => stream);
const access = new AccessPanel();
/** What there would be to see, were it not for `access`. @type {"loading" | "log-in" | "none" | "monitor"} */
let view = "loading";
/** Whether it is shown who may come in, instead of a stream. */
let isAccess = false;
/** @type {{ chart: Chart, data: () => (number | null)[][] }[]} */
let charts = [];

function now() {
  return Math.round(Date.now() / 1000);
}

/** @param {"log-in" | "none" | "monitor"} wanted */
function show(wanted) {
  view = wanted;
  const seen = isAccess && view !== "log-in" ? "access" : view;
  if (document.body.dataset.view !== seen) {
    document.body.dataset.view = seen;
    for (const id of ["log-in", "none", "monitor", "access"]) html(id).hidden = id !== seen;
    for (const id of ["log-out", "link", "streams", "access-open"]) html(id).hidden = view === "log-in";
    html("access-open").setAttribute("aria-pressed", String(seen === "access"));
    if (seen === "access") access.open();
    else access.close();
  }
  if (seen === "monitor" && !charts.length) charts = makeCharts();
}

/** @param {boolean} wanted */
function showAccess(wanted) {
  isAccess = wanted;
  history.replaceState(null, "", wanted ? ACCESS : `#${watched ?? ""}`);
  if (view !== "loading") show(view);
  showStreams();
}

function makeCharts() {
  const count = (/** @type {number} */ n) => (Number.isInteger(n) ? String(n) : "");
  const place = html("charts");
  const [first, second, third] = ["--accent", "--warn-mark", "--relay"];
  const figures = (/** @type {import("./monitor/numbers.js").Figure[]} */ ...of) => () => [course.at, ...of.map((name) => course.of[name])];
  const counts = (/** @type {import("./monitor/numbers.js").Count} */ name) => () => [course.since, course.counts[name]];
  /** @type {[import("./monitor/charts.js").About, () => (number | null)[][]][]} */
  const all = [
    [{ title: "Viewers", series: [{ label: "viewers", colour: first }], format: count }, figures("viewers")],
    [
      { title: "Live latency", series: [{ label: "p50", colour: first }, { label: "p99", colour: second }], format: words.milliseconds },
      figures("p50", "p99"),
    ],
    [{ title: "Stalls", series: [{ label: "stalls", colour: second, bars: true }], format: count }, counts("stalls")],
    [{ title: "Gone without a word", series: [{ label: "disconnections", colour: "--bad", bars: true }], format: count }, counts("disconnections")],
    [{ title: "Takeovers", series: [{ label: "takeovers", colour: third, bars: true }], format: count }, counts("takeovers")],
    [
      {
        title: "Sent by",
        series: [
          { label: "broadcaster", colour: first },
          { label: "relays", colour: second },
          { label: "viewers", colour: third },
        ],
        format: words.rate,
      },
      figures("byBroadcaster", "byRelays", "byViewers"),
    ],
  ];
  return all.map(([about, data]) => ({ chart: new Chart(about, place), data }));
}

/** @param {string | null} id */
function watch(id) {
  feed?.close();
  watched = id;
  stream = null;
  members.clear();
  course = new Course();
  histories = new Histories();
  tree.clear();
  trial.clear();
  choose(null);
  html("happenings").replaceChildren();
  if (id) remember(id, course);
  feed = new Feed(id, {
    streams: (streams) => {
      listed = streams;
      showStreams();
    },
    tree: (seen) => {
      members.clear();
      take(seen.stream, seen.members, []);
    },
    change: (change) => take(change.stream, change.changed, change.gone),
    happening: tellHappening,
    trial: (seen) => trial.take(seen),
    over: () => watch(null),
    link: showLink,
    loggedOut: logIn,
  });
}

/** What the stream went through before it was watched here. @param {string} id @param {Course} into */
async function remember(id, into) {
  const { moments } = await call("GET", `streams/${id}/history`).catch(() => ({ moments: [] }));
  into.begin(moments);
  if (into === course) for (const { chart, data } of charts) chart.show(data());
}

/** @param {Stream} seen @param {Member[]} changed @param {string[]} gone */
function take(seen, changed, gone) {
  stream = seen;
  updates += 1;
  for (const member of changed) {
    members.set(member.peer, member);
    names.set(member.peer, words.callOf(member));
  }
  for (const peer of gone) members.delete(peer);
  histories.take(now(), changed);
  histories.forget(gone);
  course.take(now(), seen, members.values());
  show("monitor");
  showFigures(seen);
  tree.show(members);
  panel.show();
  control.show();
  trial.show();
  showBoxes(members.values());
  for (const { chart, data } of charts) chart.take(data());
  // Drawing words into a chart is what costs most here: of those that are seen, one at a time.
  const stale = charts.filter(({ chart }) => chart.isBehind);
  stale.sort((a, b) => a.chart.drawnAt - b.chart.drawnAt)[0]?.chart.draw();
}

/** @param {Stream} seen */
function showFigures(seen) {
  const { viewers, p50, p99, offload } = moment(members.values());
  const ms = (/** @type {number | null} */ value) => (value === null ? "–" : words.milliseconds(value));
  setText(html("stream-title"), seen.name);
  const about = [
    seen.live ? "On the air" : "Its broadcaster is away",
    words.rate(seen.kbps),
    seen.access === "invited" ? "for those who are invited" : "for everybody",
  ];
  setText(html("stream-about"), about.join(" · "));
  document.title = `${seen.name} · Monitor`;
  fill(
    html("figures"),
    [
      ["Viewers", String(viewers)],
      ["Relays", String(seen.relays)],
      ["Depth", String(seen.depth)],
      ["Latency p50", ms(p50)],
      ["p99", ms(p99)],
      ["Stalls", String(seen.totals.stalls)],
      ["Disconnections", String(seen.totals.disconnections)],
      ["Takeovers", String(seen.totals.takeovers)],
      ["Sent by viewers", offload === null ? "–" : `${Math.round(offload * 100)} %`],
    ],
    true,
  );
}

function showStreams() {
  const place = html("streams");
  if (!watched || !listed.streams.some(({ stream: id }) => id === watched)) {
    const next = wanted() ?? null;
    if (next !== watched) return watch(next);
    if (!next) show("none");
  }
  const buttons = listed.streams.map(({ stream: id, name, live }) => {
    const button = make("button", "", name);
    button.type = "button";
    button.dataset.stream = id;
    button.dataset.state = live ? "live" : "away";
    if (id === watched && !isAccess) button.setAttribute("aria-current", "true");
    button.onclick = () => {
      if (id !== watched) watch(id);
      showAccess(false);
    };
    return button;
  });
  const ended = listed.ended.map(({ stream: id, name }) => {
    const button = make("button", "", `${name}: ended, allow again`);
    button.type = "button";
    button.onclick = () => call("POST", `streams/${id}/allow`).catch(console.warn);
    return button;
  });
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.stream : undefined;
  place.replaceChildren(...buttons, ...ended);
  if (focused) buttons.find(({ dataset }) => dataset.stream === focused)?.focus();
}

/** The stream in the address, else the one with most viewers. */
function wanted() {
  const { streams } = listed;
  const named = streams.find(({ stream: id }) => `#${id}` === location.hash);
  return (named ?? [...streams].sort((a, b) => b.viewers - a.viewers || a.name.localeCompare(b.name))[0])?.stream;
}

/** @param {import("./monitor/api.js").Happening} happening */
function tellHappening(happening) {
  if (happening.event === "moved" || happening.event === "took-over") tree.flash(happening.peer ?? "", happening.event);
  if (!happening.stream) return; // whoever comes in or goes is in no stream yet, or no more
  const said = words.happened(happening, (peer) => names.get(peer) ?? peer.slice(0, 6));
  const time = make("time", "", words.clock(happening.at_s));
  time.dateTime = new Date(happening.at_s * 1000).toISOString();
  const list = html("happenings");
  list.append(make("li", "", time, make("span", said.mood, said.words)));
  while (list.childElementCount > LINES) list.firstElementChild?.remove();
  followHappenings();
}

/** The list shows its end, unless somebody reads further up: nothing that is read moves. Once a frame, when all is written. */
function followHappenings() {
  if (isFollowing) return;
  const list = html("happenings");
  isFollowing = true;
  requestAnimationFrame(() => {
    isFollowing = false;
    if (!isReading) list.scrollTop = list.scrollHeight;
  });
}

/** @param {boolean} connected */
function showLink(connected) {
  document.body.dataset.link = connected ? "connected" : "lost";
  html("link").dataset.state = connected ? "connected" : "lost";
  setText(html("link"), connected ? "Connected" : "The supervisor is away; trying again");
}

/** @param {string | null} peer */
function choose(peer) {
  tree.mark(peer);
  panel.choose(peer);
}

function logIn() {
  feed?.close();
  feed = null;
  show("log-in");
  byId("password", HTMLInputElement).focus();
}

function listen() {
  byId("log-in-form", HTMLFormElement).onsubmit = async (event) => {
    event.preventDefault();
    const field = byId("password", HTMLInputElement);
    setText(html("log-in-problem"), "");
    await call("POST", "login", { password: field.value }).then(
      () => {
        field.value = "";
        begin();
      },
      (error) => setText(html("log-in-problem"), error.message),
    );
  };
  html("access-open").onclick = () => showAccess(!isAccess);
  html("invitations-open").onclick = () => {
    showAccess(true);
    html("invitations").focus();
  };
  html("log-out").onclick = () => call("POST", "logout").then(logIn, console.warn);
  byId("backups", HTMLInputElement).onchange = (event) => tree.showBackups(/** @type {HTMLInputElement} */ (event.target).checked);
  html("happenings").onscroll = (event) => {
    const { scrollTop, scrollHeight, clientHeight } = /** @type {HTMLElement} */ (event.target);
    isReading = scrollHeight - clientHeight - scrollTop > READING;
  };
  html("unfold").onclick = () => {
    const all = html("unfold").getAttribute("aria-pressed") !== "true";
    html("unfold").setAttribute("aria-pressed", String(all));
    tree.unfold(all);
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !byId("ask", HTMLDialogElement).open) choose(null);
  });
}

/** How often a page that is looked at says so: a session ends twelve hours after its last use, a monitor on a wall does not. */
const IN_USE = 600_000;

async function begin() {
  const session = await call("GET", "session").catch(() => null);
  if (!session) return void setTimeout(begin, 1_000);
  if (!session.operator) return logIn();
  isAccess = location.hash === ACCESS;
  html("log-out").hidden = false;
  watch(isAccess ? null : location.hash.slice(1) || null);
}

// For tests and for the curious: read only.
Object.defineProperty(window, "monitor", {
  value: Object.freeze({
    members: () => [...members.values()].map((member) => structuredClone(member)),
    stream: () => structuredClone(stream),
    updates: () => updates,
  }),
});

setInterval(() => {
  if (feed && document.visibilityState === "visible") call("GET", "session").catch(() => null);
}, IN_USE);
listen();
begin();
