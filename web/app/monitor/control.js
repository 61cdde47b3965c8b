// What can be done to the stream as a whole: arrange it anew, invite, end it.

import { call } from "./api.js";
import { askFirst, byId, html, nameField, setText } from "./page.js";

/** @typedef {import("./api.js").Stream} Stream */

/** See the file's own words. */
export class Control {
  #stream;
  /** What the form was filled with last: what the operator types is not written over. */
  #filled = "";

  /** @param {() => Stream | null} stream */
  constructor(stream) {
    this.#stream = stream;
    const kind = byId("topology", HTMLSelectElement);
    kind.onchange = () => this.#showArity();
    byId("topology-form", HTMLFormElement).onsubmit = (event) => this.#act(event, () => this.#rearrange());
    byId("invite-form", HTMLFormElement).onsubmit = (event) => this.#act(event, () => this.#invite());
    html("end").onclick = () => this.#end();
  }

  show() {
    const stream = this.#stream();
    if (!stream) return;
    const { topology } = stream;
    const now = `${stream.stream} ${topology.kind} ${topology.arity ?? ""}`;
    if (now === this.#filled) return;
    this.#filled = now;
    byId("topology", HTMLSelectElement).value = topology.kind;
    if (topology.arity) byId("arity", HTMLInputElement).value = String(topology.arity);
    setText(html("invite-link"), "");
    this.#showArity();
  }

  #showArity() {
    html("arity-label").hidden = byId("topology", HTMLSelectElement).value !== "tree";
  }

  async #rearrange() {
    const kind = byId("topology", HTMLSelectElement).value;
    const arity = kind === "tree" ? { arity: byId("arity", HTMLInputElement).valueAsNumber } : {};
    await call("POST", `streams/${this.#stream()?.stream}/topology`, { kind, ...arity });
  }

  async #invite() {
    const expires_in_s = Number(byId("invite-for", HTMLSelectElement).value);
    const made = await call("POST", "operator/invitations", { stream: this.#stream()?.name, expires_in_s });
    setText(html("invite-link"), made.link);
  }

  #end() {
    const stream = this.#stream();
    if (!stream) return;
    askFirst({
      title: "End this stream?",
      words: `All its viewers are told that it is over. It stays off until you allow it again. Type its name, ${stream.name}, to be sure.`,
      button: "End it",
      label: "The stream's name",
      field: nameField(),
      act: (name) => call("POST", `streams/${stream.stream}/end`, { name }),
    });
  }

  /** @param {SubmitEvent} event @param {() => Promise<void>} what */
  async #act(event, what) {
    event.preventDefault();
    setText(html("control-problem"), "");
    await what().catch((error) => setText(html("control-problem"), error.message));
  }
}
