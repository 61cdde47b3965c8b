// The panel of one peer: who it is, how it fares, its history, and what can be done to it.

import { call } from "./api.js";
import { Chart } from "./charts.js";
import { askFirst, fill, html, make, setText } from "./page.js";
import { STATES, callOf, madeOf, milliseconds, rate, span } from "./words.js";

/** @typedef {import("./api.js").Member} Member */

const KINDS = { broadcaster: "Broadcaster", relay: "Relay", receiver: "Viewer" };

/** See the file's own words. */
export class PeerPanel {
  /** @type {string | null} */
  peer = null;
  /** @type {Chart | undefined} */
  #chart;
  #members;
  #stream;
  #historyOf;

  /**
   * @param {() => Map<string, Member>} members
   * @param {() => string | null} stream
   * @param {(peer: string) => (number | null)[][]} historyOf
   * @param {(peer: string | null) => void} chosen
   */
  constructor(members, stream, historyOf, chosen) {
    this.#members = members;
    this.#stream = stream;
    this.#historyOf = historyOf;
    html("peer-close").onclick = () => chosen(null);
    html("move").onclick = () => this.#move();
    html("evict").onclick = () => this.#evict();
    html("block").onclick = () => this.#block();
  }

  /** @param {string | null} peer */
  choose(peer) {
    this.peer = peer;
    this.show();
  }

  show() {
    const member = this.peer ? this.#members().get(this.peer) : undefined;
    html("peer-body").hidden = !member;
    html("peer-hint").hidden = Boolean(member);
    html("peer-close").hidden = !this.peer;
    if (!member) {
      setText(html("peer-title"), "Peer");
      setText(html("peer-hint"), this.peer ? "This peer is gone." : "Choose a peer in the topology to see how it fares.");
      return;
    }
    setText(html("peer-title"), `${KINDS[member.component]} ${callOf(member)}`);
    setText(html("peer-state"), STATES[member.state]);
    html("peer-state").dataset.state = member.state;
    fill(html("peer-facts"), this.#facts(member));
    html("peer-actions").hidden = member.component === "broadcaster";
    html("peer-chart").hidden = member.component === "broadcaster";
    if (member.component === "broadcaster") return;
    this.#chart ??= new Chart(
      {
        title: "Live latency",
        series: [
          { label: "latency", colour: "--accent" },
          { label: "hold", colour: "--warn-mark" },
        ],
        format: milliseconds,
      },
      html("peer-chart"),
      "panel",
    );
    this.#chart.show(this.#historyOf(member.peer));
  }

  /** @param {Member} member @returns {[string, string][]} */
  #facts(member) {
    const { report } = member;
    const named = (/** @type {string | null} */ peer) => this.#name(peer);
    /** @type {[string, string][]} */
    const facts = [
      ["Is", madeOf(member)],
      ["In the stream for", span(Math.max(0, Date.now() / 1000 - member.since_us / 1e6))],
    ];
    if (member.component !== "broadcaster") facts.push(["Fed by", named(member.parent)], ["Backup", named(member.backup)]);
    if (report) {
      facts.push(["Depth", String(report.depth)], ["Feeds", String(report.children)]);
      if (report.latency_ms !== undefined) facts.push(["Live latency", milliseconds(report.latency_ms)]);
      if (report.hold_ms !== undefined) facts.push(["Hold", milliseconds(report.hold_ms)]);
      if (member.component === "receiver") {
        facts.push(["Stalls", String(report.stalls)], ["Stalled for", milliseconds(report.stalled_ms)]);
      }
      facts.push(["Receives", rate(report.down_kbps)], ["Sends", rate(report.up_kbps)]);
    }
    facts.push(["Id", member.peer]);
    return facts;
  }

  /** @param {string | null} peer */
  #name(peer) {
    const member = peer ? this.#members().get(peer) : undefined;
    return member ? callOf(member) : (peer?.slice(0, 6) ?? "nobody");
  }

  #move() {
    const { peer } = this;
    const stream = this.#stream();
    const field = make("select", "");
    const others = [...this.#members().values()].filter((m) => m.peer !== peer && m.state === "well");
    field.append(...others.map((m) => new Option(`${KINDS[m.component]} ${callOf(m)}`, m.peer)));
    askFirst({
      title: `Move ${this.#name(peer)}`,
      words: "It goes on at its new parent before the old one lets it go, with everybody below it.",
      button: "Move",
      label: "To be fed by",
      field,
      act: (parent) => call("POST", `streams/${stream}/move`, { peer, parent }),
    });
  }

  #evict() {
    const { peer } = this;
    const stream = this.#stream();
    askFirst({
      title: `Put ${this.#name(peer)} out of this stream?`,
      words: "It is told so, and whoever it feeds goes on elsewhere. It may come back.",
      button: "Put out",
      act: () => call("POST", `streams/${stream}/evict`, { peer }),
    });
  }

  #block() {
    const { peer } = this;
    askFirst({
      title: `Block ${this.#name(peer)}?`,
      words: "Whoever has its key is put out of everything, now, and stays out until you lift the block under Access.",
      button: "Block",
      act: () => call("POST", `peers/${peer}/block`),
    });
  }
}

