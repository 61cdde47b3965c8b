// The connections to other peers: one RTCPeerConnection and two data channels for each link. What is said over
// them, and which there are to be, is decided elsewhere.

/** What a channel was given is on its way after this at the latest, in milliseconds. Guess. */
const LAST_WORDS = 200;
/** The media channel's stream: both sides make the channel, for services must (docs/protocol.md says why). */
const MEDIA_STREAM = 10;
/** The control channel's protocol, by which the side that offers says so, and whether media goes in order. */
const MEDIA_MODES = { any: "media-unordered", inOrder: "media-ordered" };
/** Messages that may come before both channels are open here: one Hello, and what follows if this page is slow. Guess. */
const MAX_UNREAD = 64;
/** How long a connection that is not open yet may count as failed, in milliseconds. Guess: the other side's candidates
 * come through the supervisor, a relayed one after two round trips to its TURN server. */
const SECOND_CHANCE = 2_000;

/**
 * What a link tells its owner.
 * @typedef {object} Listener
 * @property {(link: string, sdp: string) => void} description
 * @property {(link: string, candidate: string) => void} candidate
 * @property {(link: string) => void} open
 * @property {(link: string, bytes: Uint8Array) => void} control
 * @property {(link: string, bytes: Uint8Array) => void} media
 * @property {(link: string, bytes: number) => void} backlog
 * @property {(link: string, reason: string) => void} closed
 */

/** One bad candidate of several is no reason to give the link up. @param {unknown} error */
function candidateRefused(error) {
  console.info("candidate refused:", String(error));
}

/** One link. */
class Link {
  /** @type {Record<string, RTCDataChannel | undefined>} */
  channels = {};
  /** Candidates that came before the description they belong to. @type {RTCIceCandidateInit[]} */
  early = [];
  /** What came before both channels were open. @type {(() => void)[]} */
  unread = [];
  wasOpen = false;

  /** @param {RTCPeerConnection} connection */
  constructor(connection) {
    this.connection = connection;
  }
}

/** All links of this peer. */
export class Links {
  /** @type {Map<string, Link>} */
  #links = new Map();
  /** @type {RTCIceServer[]} */
  #servers = [];
  #certificate;
  #listener;

  /**
   * @param {RTCCertificate} certificate
   * @param {Listener} listener
   */
  constructor(certificate, listener) {
    this.#certificate = certificate;
    this.#listener = listener;
  }

  /** @param {RTCIceServer[]} servers for links made from now on */
  setIceServers(servers) {
    this.#servers = servers;
  }

  /** A connection that uses the servers, unless this browser takes one of their addresses for nonsense. */
  #connection() {
    const certificates = [this.#certificate];
    try {
      return new RTCPeerConnection({ certificates, iceServers: this.#servers });
    } catch (error) {
      console.warn("the supervisor's STUN and TURN servers are refused here:", String(error));
      return new RTCPeerConnection({ certificates });
    }
  }

  /**
   * A new link; none, and the listener is told so, if this browser makes no more connections.
   * @param {string} name
   */
  #make(name) {
    let connection;
    try {
      connection = this.#connection();
    } catch (error) {
      return this.#listener.closed(name, `this browser makes no connection: ${error}`);
    }
    const link = new Link(connection);
    this.#links.set(name, link);
    connection.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) this.#listener.candidate(name, JSON.stringify(candidate.toJSON()));
    };
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "failed") this.#failed(name, link);
    };
    return link;
  }

  /**
   * One that was open is gone. One that is yet to open may still: Chromium calls it failed as soon as all paths known
   * so far are refused, which a TURN server does at once, and takes that back when one more candidate comes.
   * @param {string} name
   * @param {Link} link
   */
  #failed(name, link) {
    const end = () => {
      if (link.connection.connectionState === "failed") this.#gone(name, link, "the connection failed");
    };
    if (link.wasOpen) end();
    else setTimeout(end, SECOND_CHANCE);
  }

  /**
   * @param {string} name
   * @param {Link} link
   * @param {RTCDataChannel} channel
   */
  #use(name, link, channel) {
    const bring = channel.label === "control" ? this.#listener.control : this.#listener.media;
    link.channels[channel.label] = channel;
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }) => {
      if (!(data instanceof ArrayBuffer)) {
        this.#gone(name, link, "the other side sent a text, and only bytes are spoken here");
      } else if (link.wasOpen) {
        bring(name, new Uint8Array(data));
      } else if (link.unread.push(() => bring(name, new Uint8Array(data))) > MAX_UNREAD) {
        this.#gone(name, link, "the other side did not wait until the connection was open");
      }
    };
    channel.onclose = () => this.#gone(name, link, "the other side closed the channel");
    channel.onopen = () => this.#opened(name, link);
    if (channel.readyState === "open") this.#opened(name, link);
  }

  /**
   * @param {string} name
   * @param {Link} link
   */
  #opened(name, link) {
    const { control, media } = link.channels;
    if (link.wasOpen || control?.readyState !== "open" || media?.readyState !== "open") return;
    link.wasOpen = true;
    this.#listener.open(name);
    for (const bring of link.unread.splice(0)) {
      if (this.#links.get(name) === link) bring();
    }
  }

  /**
   * @param {string} name
   * @param {Link} link
   * @param {string} reason
   */
  #gone(name, link, reason) {
    if (this.#links.get(name) !== link) return;
    this.#forget(name, link);
    link.connection.close();
    this.#listener.closed(name, reason);
  }

  /**
   * @param {string} name
   * @param {Link} link
   */
  #forget(name, link) {
    this.#links.delete(name);
    link.connection.onicecandidate = null;
    link.connection.onconnectionstatechange = null;
    link.connection.ondatachannel = null;
    for (const channel of Object.values(link.channels)) {
      if (channel) channel.onmessage = channel.onclose = channel.onopen = channel.onbufferedamountlow = null;
    }
  }

  /**
   * Runs a step of a link's set-up; the link is gone if it fails.
   * @param {string} name
   * @param {Link} link
   * @param {() => Promise<void>} step
   */
  async #step(name, link, step) {
    try {
      await step();
    } catch (error) {
      this.#gone(name, link, String(error));
    }
  }

  /**
   * @param {string} name
   * @param {Link} link
   * @param {boolean} ordered
   */
  #makeMedia(name, link, ordered) {
    const mode = { ordered, negotiated: true, id: MEDIA_STREAM };
    try {
      this.#use(name, link, link.connection.createDataChannel("media", mode));
    } catch (error) {
      this.#gone(name, link, `no channel for media: ${error}`); // the other side has opened one in its place
    }
  }

  /** @param {string} name sets it up as the side that offers */
  connect(name) {
    const link = this.#make(name);
    if (!link) return;
    const control = { ordered: true, protocol: MEDIA_MODES.any };
    this.#use(name, link, link.connection.createDataChannel("control", control));
    // In any order: one lost packet holds nothing else back, and gaps show at once.
    this.#makeMedia(name, link, false);
    this.#step(name, link, async () => {
      await link.connection.setLocalDescription();
      this.#describe(name, link);
    });
  }

  /**
   * Sets it up as the side that answers.
   * @param {string} name
   * @param {string} offer
   */
  accept(name, offer) {
    const link = this.#make(name);
    if (!link) return;
    link.connection.ondatachannel = ({ channel }) => {
      const known = channel.label === "control" || channel.label === "media";
      if (!known || link.channels[channel.label]) return channel.close();
      this.#use(name, link, channel);
      if (channel.label === "control" && Object.values(MEDIA_MODES).includes(channel.protocol)) {
        this.#makeMedia(name, link, channel.protocol === MEDIA_MODES.inOrder);
      }
    };
    this.#step(name, link, async () => {
      await link.connection.setRemoteDescription({ type: "offer", sdp: offer });
      await this.#addEarly(link);
      await link.connection.setLocalDescription();
      this.#describe(name, link);
    });
  }

  /**
   * @param {string} name
   * @param {Link} link
   */
  #describe(name, link) {
    const sdp = link.connection.localDescription?.sdp;
    if (this.#links.get(name) === link && sdp) this.#listener.description(name, sdp);
  }

  /** @param {Link} link */
  async #addEarly(link) {
    for (const candidate of link.early.splice(0)) {
      await link.connection.addIceCandidate(candidate).catch(candidateRefused);
    }
  }

  /**
   * @param {string} name
   * @param {string} answer
   */
  setAnswer(name, answer) {
    const link = this.#links.get(name);
    if (!link) return;
    this.#step(name, link, async () => {
      await link.connection.setRemoteDescription({ type: "answer", sdp: answer });
      await this.#addEarly(link);
    });
  }

  /**
   * @param {string} name
   * @param {string} json an RTCIceCandidateInit
   */
  addCandidate(name, json) {
    const link = this.#links.get(name);
    if (!link) return;
    try {
      const candidate = JSON.parse(json);
      if (!link.connection.remoteDescription) link.early.push(candidate);
      else link.connection.addIceCandidate(candidate).catch(candidateRefused);
    } catch (error) {
      candidateRefused(error);
    }
  }

  /**
   * @param {string} name
   * @param {"control" | "media"} label
   * @param {Uint8Array<ArrayBuffer>} bytes
   */
  send(name, label, bytes) {
    const link = this.#links.get(name);
    const channel = link?.channels[label];
    if (!link || channel?.readyState !== "open") return;
    try {
      channel.send(bytes);
    } catch (error) {
      // More than 16 MiB unsent (measured), which the backlog should have told long before.
      this.#gone(name, link, `sending failed: ${error}`);
    }
  }

  /**
   * Says what the media channel has yet to deliver, and again when that falls below `low` if it is above `high`.
   * @param {string} name
   * @param {number} high
   * @param {number} low
   */
  tellBacklog(name, high, low) {
    const media = this.#links.get(name)?.channels.media;
    if (!media) return;
    const left = media.bufferedAmount;
    if (left > high) {
      media.bufferedAmountLowThreshold = low;
      media.onbufferedamountlow = () => {
        media.onbufferedamountlow = null;
        this.#listener.backlog(name, media.bufferedAmount);
      };
    }
    this.#listener.backlog(name, left);
  }

  /** @param {string} name closes it once what was given to it is on its way */
  close(name) {
    const link = this.#links.get(name);
    if (!link) return;
    this.#forget(name, link);
    // A channel's close() waits for what is unsent, a connection's does not.
    for (const channel of Object.values(link.channels)) channel?.close();
    setTimeout(() => link.connection.close(), LAST_WORDS);
  }

  /** Closes all of them at once: the page goes away. */
  closeAll() {
    for (const [name, link] of this.#links) {
      this.#forget(name, link);
      link.connection.close();
    }
  }
}
