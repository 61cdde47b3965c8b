// The media element and its source. Carries out what `protocol::playback` orders, and decides nothing itself: when
// to append, where the play head is to be and how fast it runs are decided there.

import { BufferQueue } from "./buffer-queue.js";

/** @typedef {import("../pkg/web.js").StreamTrack} StreamTrack */
/** @typedef {import("../pkg/web.js").Track} Track */

/**
 * What the player tells its owner.
 * @typedef {object} Listener
 * @property {() => void} open the source asked for is open
 * @property {() => void} failed it has failed for good
 * @property {(track: Track) => void} full one of its buffers is full
 * @property {(words: string) => void} cannotPlay this browser has no decoder for it
 * @property {() => void} changed paused, muted, or whether the browser lets it play
 */

/** iPhones have only the managed one. */
const Source = /** @type {typeof MediaSource | undefined} */ (
  globalThis.MediaSource ?? /** @type {any} */ (globalThis).ManagedMediaSource
);

/** @param {StreamTrack[]} tracks those this browser cannot play */
export function unplayable(tracks) {
  return tracks.filter((track) => !Source?.isTypeSupported(track.mime));
}

/** @param {StreamTrack[]} tracks in words, or nothing if all is well */
export function whyUnplayable(tracks) {
  if (!Source) return "This browser has no Media Source Extensions, so it cannot play live streams.";
  const names = unplayable(tracks).map(({ codec, mime }) => `${codec} in ${mime.includes("/mp4") ? "MP4" : "WebM"}`);
  return names.length ? `This browser cannot play ${names.join(" and ")}.` : "";
}

/** So close before a hole the play head may have stopped already, seconds; as in `protocol::playback`. */
const HOLE_NEAR = 0.05;

/** Plays into one <video>. */
export class Player {
  /** @type {MediaSource | null} */
  #source = null;
  /** @type {Map<Track, BufferQueue>} */
  #buffers = new Map();
  /** Where the play head is being put. @type {number | null} */
  #seeking = null;
  #rate = 1;
  #swapping = false;
  /** The viewer wants it to play, and the browser lets it. */
  wanted = true;
  /** The browser wants a click first. */
  blocked = false;
  #video;
  #listener;

  /**
   * @param {HTMLVideoElement} video
   * @param {Listener} listener
   */
  constructor(video, listener) {
    this.#video = video;
    this.#listener = listener;
    video.addEventListener("pause", () => {
      // A media key, the browser's own menu: the viewer's wish all the same. Not our change of source.
      if (!this.#swapping && !video.ended && this.#source) this.#want(false);
    });
    video.addEventListener("playing", () => this.#want(true));
    video.addEventListener("volumechange", () => listener.changed());
    video.addEventListener("error", () => {
      if (this.#source && video.error) this.#fail(`${video.error.code} ${video.error.message}`);
    });
  }

  /** Whether something is being played. */
  get isOpen() {
    return this.#source !== null;
  }

  /** Seconds of media time at the play head, or where it is being put. */
  get position() {
    return this.#seeking ?? this.#video.currentTime;
  }

  /** Where the hole ends that the play head is in, or right before: seconds, if there is one. */
  get holeEnd() {
    if (this.#seeking !== null) return undefined;
    const { buffered, currentTime } = this.#video;
    for (let i = 0; i < buffered.length; i += 1) {
      if (buffered.end(i) <= currentTime + HOLE_NEAR) continue;
      return buffered.start(i) > currentTime ? buffered.start(i) : undefined;
    }
    return undefined;
  }

  /** @param {boolean} wanted */
  #want(wanted) {
    if (this.wanted === wanted && !this.blocked) return;
    this.wanted = wanted;
    if (wanted) this.blocked = false;
    this.#listener.changed();
  }

  /** @param {StreamTrack[]} tracks makes a new source with a buffer for each */
  open(tracks) {
    const problem = whyUnplayable(tracks);
    if (problem || !Source) return this.#listener.cannotPlay(problem);
    this.#drop();
    const source = new Source();
    this.#source = source;
    this.#swapping = true;
    const url = URL.createObjectURL(source);
    source.addEventListener("sourceopen", () => this.#opened(source, tracks, url), { once: true });
    // A managed source says when it wants no more for now: while it is paused, or has enough.
    source.addEventListener("startstreaming", () => this.#hold(source, false));
    source.addEventListener("endstreaming", () => this.#hold(source, true));
    // What iPhones ask of a managed source.
    this.#video.disableRemotePlayback = true;
    this.#video.src = url;
    this.#video.playbackRate = this.#rate;
  }

  /**
   * @param {MediaSource} source
   * @param {StreamTrack[]} tracks
   * @param {string} url
   */
  #opened(source, tracks, url) {
    URL.revokeObjectURL(url);
    if (this.#source !== source) return;
    this.#swapping = false;
    try {
      for (const { track, mime } of tracks) {
        const queue = new BufferQueue(source.addSourceBuffer(mime), {
          full: () => this.#listener.full(track),
          failed: (words) => this.#source === source && this.#fail(`${track}: ${words}`),
        });
        this.#buffers.set(track, queue);
      }
    } catch (error) {
      return this.#fail(String(error));
    }
    this.#listener.open();
  }

  /**
   * @param {MediaSource} source
   * @param {boolean} held
   */
  #hold(source, held) {
    if (this.#source === source) for (const queue of this.#buffers.values()) queue.hold(held);
  }

  /** @param {string} words */
  #fail(words) {
    console.warn("the media source failed:", words);
    this.#drop();
    this.#listener.failed();
  }

  #drop() {
    this.#source = null;
    this.#seeking = null;
    for (const queue of this.#buffers.values()) queue.close();
    this.#buffers.clear();
  }

  /** Forgets the stream. */
  close() {
    this.#drop();
    this.#video.removeAttribute("src");
    this.#video.load();
    this.setRate(1); // a stream that stood still leaves 0 behind, and the next one begins at 1
    this.wanted = true;
    this.blocked = false;
  }

  /**
   * @param {Track} track
   * @param {Uint8Array<ArrayBuffer>} bytes
   */
  append(track, bytes) {
    this.#buffers.get(track)?.append(bytes);
  }

  /** @param {Track} track */
  abort(track) {
    this.#buffers.get(track)?.abort();
  }

  /**
   * @param {Track} track
   * @param {number} end seconds
   */
  remove(track, end) {
    this.#buffers.get(track)?.remove(end);
  }

  /** @param {number} to seconds of media time; reached when all that was asked of the buffers before is done */
  async seek(to) {
    const source = this.#source;
    this.#seeking = to;
    await this.#settled();
    if (this.#source !== source || this.#seeking !== to) return;
    this.#video.currentTime = to;
    this.#seeking = null;
  }

  #settled() {
    return Promise.all([...this.#buffers.values()].map((queue) => queue.settled()));
  }

  /** @param {number} rate */
  setRate(rate) {
    this.#rate = rate;
    this.#video.playbackRate = rate;
  }

  /**
   * Begins to play: with sound if the browser lets us, else without, else when the viewer clicks.
   * @returns {Promise<void>}
   */
  async play() {
    try {
      await this.#video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return;
      if (!this.#video.muted) {
        this.#video.muted = true;
        return this.play();
      }
      this.blocked = true;
      this.wanted = false;
      this.#listener.changed();
    }
  }

  /** The viewer clicked on play or pause. */
  toggle() {
    if (this.#video.paused) {
      this.#want(true);
      this.play();
    } else {
      this.#video.pause();
    }
  }

  /** No more will come. */
  async end() {
    const source = this.#source;
    await this.#settled();
    if (this.#source === source && source?.readyState === "open") source.endOfStream();
  }
}
