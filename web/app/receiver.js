// The receiver page: the list of streams, and the player of one of them. Shows what the peer tells, tells it what
// the viewer does.

import { Overlay } from "./overlay.js";
import { Peer, invitation, whatIsMissing } from "./peer.js";
import * as streams from "./streams.js";
import { whyUnplayable } from "./player.js";
import * as words from "./words.js";

/** @typedef {import("../pkg/web.js").News} News */
/** @typedef {import("../pkg/web.js").Stream} Stream */

/** How often the figures are shown anew, in milliseconds. */
const SHOW_EVERY = 500;
/** The controls step back when nobody has moved for this long, in milliseconds. */
const STILL_AFTER = 3_000;

/**
 * @template {Element} E
 * @param {string} id
 * @param {new () => E} type
 */
function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`the page has no ${id}`);
  return element;
}

const page = {
  list: byId("streams", HTMLUListElement),
  empty: byId("empty", HTMLElement),
  emptyTitle: byId("empty-title", HTMLElement),
  emptyWords: byId("empty-words", HTMLElement),
  supervisor: byId("supervisor", HTMLElement),
  player: byId("player", HTMLElement),
  stage: byId("stage", HTMLElement),
  video: byId("video", HTMLVideoElement),
  messageWords: byId("message-words", HTMLElement),
  start: byId("start", HTMLButtonElement),
  unmute: byId("unmute", HTMLButtonElement),
  toggle: byId("toggle", HTMLButtonElement),
  mute: byId("mute", HTMLButtonElement),
  info: byId("info", HTMLButtonElement),
  full: byId("full", HTMLButtonElement),
  live: byId("live", HTMLElement),
  liveWords: byId("live-words", HTMLElement),
  overlay: byId("overlay", HTMLElement),
  figures: byId("figures", HTMLElement),
  title: byId("title", HTMLElement),
  subtitle: byId("subtitle", HTMLElement),
};

const overlay = new Overlay(page.figures);

/** How it stands with a stream that is asked for, each time it is. */
const AT_FIRST = {
  turnedAway: null,
  problem: null,
  ended: false,
  hasParent: false,
  unreached: false,
  started: false,
  stalled: false,
  blocked: false,
};
/** @type {words.Situation} */
const situation = {
  ...AT_FIRST,
  refused: null,
  connected: false,
  everConnected: false,
  name: null,
  listed: false,
  live: false,
  hasVideo: true,
};
/** @type {Stream[]} */
let listed = [];
/** The stream that is watched; none once it has ended, even if it is still played out. @type {string | null} */
let watched = null;
/** The stream that was refused, or cannot be decoded. @type {string | null} */
let givenUp = null;
/** @type {Peer | null} */
let peer = null;

/** @param {string | null} name of the stream to watch, or none */
function want(name) {
  peer?.unwatch();
  watched = null;
  givenUp = null;
  Object.assign(situation, AT_FIRST, { name, live: false, listed: false });
  // A click on the list lets it play with sound; an address typed or bookmarked does not, everywhere.
  page.video.muted = !navigator.userActivation?.hasBeenActive;
  document.body.dataset.view = name ? "watch" : "list";
  for (const section of document.querySelectorAll("main > section")) {
    if (section instanceof HTMLElement) section.hidden = section.classList.contains("watch") !== Boolean(name);
  }
  document.title = name ? `${name} · OwnStream` : "OwnStream";
  watchIfListed();
  show();
}

function wantedStream() {
  return listed.find((stream) => stream.name === situation.name);
}

/** Watches the wanted stream as soon as there is one of its name; again when it has ended and comes back. */
function watchIfListed() {
  const stream = wantedStream();
  const wasOn = situation.listed && situation.live;
  situation.listed = Boolean(stream);
  if (!stream || !peer) return;
  situation.live = stream.live;
  situation.hasVideo = stream.tracks.some(({ track }) => track === "video");
  // Not at each change of the list: whoever is refused would ask again each second.
  if (stream.live && !wasOn) givenUp = null;
  if (watched === stream.stream || givenUp === stream.stream) return;
  Object.assign(situation, AT_FIRST, { problem: whyUnplayable(stream.tracks) || null });
  if (situation.problem) return;
  watched = stream.stream;
  overlay.reset();
  performance.mark("join"); // for whoever measures how long the first picture takes
  peer.watch(stream.stream);
}

/** What is watched will not be, until something changes. */
function giveUp() {
  givenUp = watched;
  watched = null;
}

/** This page plays nothing any more, whatever the viewer clicks. @param {string} problem */
function stop(problem) {
  giveUp();
  // As a refusal as well: the list shows it, and so does each stream that is asked for from now on.
  Object.assign(situation, AT_FIRST, { problem, refused: problem });
  show();
}

/** @param {News} news */
function tell(news) {
  switch (news.of) {
    case "streams":
      listed = news.streams;
      watchIfListed();
      streams.show(page.list, listed);
      break;
    case "refused":
      situation.refused = words.refusal(news.why, news.words, Boolean(invitation()));
      break;
    case "accepted":
      situation.refused = null;
      situation.turnedAway = null;
      givenUp = null; // the list follows
      break;
    case "streamRefused":
      if (news.stream === watched) {
        situation.turnedAway = words.refusal(news.why, news.words, Boolean(invitation()));
        giveUp();
      }
      break;
    case "parent":
      if (news.stream === watched) {
        situation.hasParent = news.parent !== null;
        if (news.parent) Object.assign(situation, { turnedAway: null, unreached: false });
      }
      break;
    case "ended":
      if (news.stream === watched) {
        // What is buffered is played out first, and `finished` says when; nothing is while the viewer pauses.
        situation.ended = !situation.started || !peer?.player.wanted;
        watched = null; // it may come back under the same name and number
      }
      break;
    case "started":
      situation.started = true;
      break;
    case "stalled":
    case "resumed":
      situation.stalled = news.of === "stalled";
      break;
    case "finished":
      situation.ended = true;
      break;
    case "toldToFail":
      peer?.fail(news.how);
      situation.problem = "The operator of this stream has this viewer fail, as a test. Load the page anew to watch again.";
      break;
    case "gaveUp":
      situation.problem = "This browser fails to play the stream.";
      break;
    case "linkLost":
      situation.unreached ||= !situation.hasParent;
      console.info(`link to ${news.peer.slice(0, 8)} ended: ${news.reason}`);
      break;
  }
  show();
}

function show() {
  const corner = words.supervisor(situation);
  page.supervisor.dataset.state = corner.state;
  setText(page.supervisor, corner.words);
  showList();
  showStage();
}

function showList() {
  page.empty.hidden = listed.length > 0;
  setText(page.emptyTitle, situation.connected ? "No stream is on" : words.supervisor(situation).words);
  const hint = "Start a broadcaster that knows this supervisor: its stream appears here by itself.";
  setText(page.emptyWords, situation.connected ? hint : "");
}

function showStage() {
  const message = words.message(situation);
  const stream = wantedStream();
  const { player } = peer ?? {};
  const hasSound = stream ? stream.tracks.some(({ track }) => track === "audio") : true;
  const muted = page.video.muted || page.video.volume === 0;
  const paused = Boolean(player && !player.wanted);
  page.stage.dataset.state = message.state;
  page.stage.toggleAttribute("data-busy", message.busy);
  page.stage.toggleAttribute("data-paused", paused);
  page.stage.dataset.sound = !hasSound ? "none" : muted ? "muted" : "on";
  setText(page.messageWords, message.words);
  page.start.hidden = message.state !== "blocked";
  page.unmute.hidden = !(hasSound && muted && situation.started && !paused);
  page.toggle.setAttribute("aria-label", paused ? "Play" : "Pause");
  page.mute.setAttribute("aria-pressed", String(!muted));
  const isLive = situation.live && situation.started && !situation.stalled && !paused && !situation.ended;
  page.live.toggleAttribute("data-live", isLive);
  setText(page.liveWords, paused ? "Paused" : isLive ? "Live" : "Not live");
  setText(page.title, situation.name ?? "");
  setText(page.subtitle, stream ? [words.viewers(stream.viewers), words.tracks(stream.tracks)].join(" · ") : "");
}

/**
 * Only what differs is written: screen readers read out what is.
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function toggleSound() {
  page.video.muted = !page.video.muted;
  if (!page.video.muted && page.video.volume === 0) page.video.volume = 1;
}

function toggleOverlay() {
  page.overlay.hidden = !page.overlay.hidden;
  page.info.setAttribute("aria-expanded", String(!page.overlay.hidden));
  showFigures();
}

function toggleFullScreen() {
  const video = /** @type {HTMLVideoElement & { webkitEnterFullscreen?: () => void }} */ (page.video);
  if (document.fullscreenElement) document.exitFullscreen();
  else if (page.player.requestFullscreen) page.player.requestFullscreen().catch(() => {});
  else video.webkitEnterFullscreen?.(); // iPhones
}

function showFigures() {
  const stats = !page.overlay.hidden && watched ? peer?.stats() : null;
  if (stats) overlay.show(stats);
}

/** @type {Record<string, () => void>} */
const KEYS = {
  i: toggleOverlay,
  m: toggleSound,
  f: toggleFullScreen,
  k: () => peer?.player.toggle(),
  " ": () => peer?.player.toggle(),
};

function listenToViewer() {
  page.start.onclick = page.toggle.onclick = () => peer?.player.toggle();
  page.unmute.onclick = page.mute.onclick = toggleSound;
  page.info.onclick = toggleOverlay;
  page.full.onclick = toggleFullScreen;
  page.video.ondblclick = toggleFullScreen;
  document.addEventListener("keydown", (event) => {
    if (!situation.name || event.ctrlKey || event.metaKey || event.altKey) return;
    // A button with the focus takes the space bar for itself.
    if (event.key === " " && event.target instanceof HTMLButtonElement) return;
    const act = KEYS[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const moved = () => {
    page.stage.toggleAttribute("data-still", false);
    clearTimeout(timer);
    timer = setTimeout(() => page.stage.toggleAttribute("data-still", true), STILL_AFTER);
  };
  page.stage.addEventListener("pointermove", moved);
  moved();
}

function listenToAddress() {
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || event.defaultPrevented || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || link.origin !== location.origin) return;
    event.preventDefault();
    history.pushState(null, "", link.href);
    want(streams.nameInAddress());
  });
  addEventListener("popstate", () => want(streams.nameInAddress()));
}

function listenToEnd() {
  addEventListener("pagehide", () => peer?.leave());
  // Back out of the browser's memory of pages: everybody has been told that we left, so begin again.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

/** What the viewer's browser and address say about relaying. */
function options() {
  const asked = new URLSearchParams(location.search);
  const connection = /** @type {{ saveData?: boolean } | undefined} */ (/** @type {any} */ (navigator).connection);
  const relays = asked.get("relay") !== "no" && !connection?.saveData;
  const uplinkKbps = Number(asked.get("uplink_kbps")) || undefined;
  return { relays, uplinkKbps };
}

async function begin() {
  listenToViewer();
  listenToAddress();
  listenToEnd();
  byId("plain-http", HTMLElement).hidden = isSecureContext;
  want(streams.nameInAddress());
  const lack = whatIsMissing();
  if (lack) return stop(words.missing(lack));
  peer = await Peer.begin(
    page.video,
    {
      news: tell,
      supervisor(connected) {
        situation.connected = connected;
        situation.everConnected ||= connected;
        show();
      },
      cannotPlay(problem) {
        situation.problem = problem;
        giveUp();
        show();
      },
      playerChanged() {
        situation.blocked = Boolean(peer?.player.blocked);
        show();
      },
      broke: () => stop(words.BROKEN),
    },
    options(),
  );
  setInterval(showFigures, SHOW_EVERY);
  watchIfListed();
  show();
}

// For tests and for the curious: read only.
Object.defineProperty(window, "ownstream", {
  value: Object.freeze({
    stats: () => peer?.stats() ?? null,
    streams: () => structuredClone(listed),
    situation: () => structuredClone(situation),
    state: () => page.stage.dataset.state,
  }),
});

begin().catch((error) => {
  console.error(error);
  stop(`This browser cannot take part: ${error}`);
});
