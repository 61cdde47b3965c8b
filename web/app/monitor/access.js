// Who may come in, and who not: invitations, join tokens, services, blocks. About the whole supervisor, not about one stream.

import { call } from "./api.js";
import { askFirst, byId, html, make, setText } from "./page.js";
import { KINDS, madeOf, span } from "./words.js";

/** @typedef {{ id: string, stream: string, name: string, made_s: number, not_after_s: number, revoked_s: number | null, watching: number | null }} Invitation */
/** @typedef {{ id: string, role: string, made_s: number, expires_s: number, used_by: string | null }} Token */
/** @typedef {{ fingerprint: string, role: string, name: string, enrolled_s: number, revoked_s: number | null }} Service */
/** @typedef {{ fingerprint: string, component: import("./api.js").Component, name: string | null, software: string, since_s: number }} Block */
/** @typedef {{ cells: (string | Node)[], button?: { label: string, name: string, act: () => void }, over?: boolean }} Row */

/** While it is looked at, it is looked up again so often, ms. */
const EVERY = 5_000;
/** Digits of what is long: enough to tell one from another. */
const DIGITS = 8;

/** See the file's own words. */
export class AccessPanel {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #isOpen = false;

  constructor() {
    byId("token-form", HTMLFormElement).onsubmit = async (event) => {
      event.preventDefault();
      await this.#try(() => this.#makeToken());
      byId("token-form", HTMLFormElement).querySelector("button")?.focus();
    };
  }

  open() {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#look();
  }

  close() {
    this.#isOpen = false;
    clearTimeout(this.#timer);
    html("token-made").hidden = true; // it is shown once
    setText(html("token-text"), "");
  }

  async #look() {
    clearTimeout(this.#timer);
    await this.#try(async () => {
      const [invitations, tokens, services, blocks] = await Promise.all([
        call("GET", "operator/invitations"),
        call("GET", "operator/tokens"),
        call("GET", "operator/peers"),
        call("GET", "operator/blocks"),
      ]);
      this.#showInvitations(invitations);
      this.#showTokens(tokens);
      this.#showServices(services);
      this.#showBlocks(blocks);
    });
    clearTimeout(this.#timer);
    if (this.#isOpen) this.#timer = setTimeout(() => this.#look(), EVERY);
  }

  /** @param {() => Promise<unknown>} what */
  async #try(what) {
    await what().then(
      () => setText(html("access-problem"), ""),
      (error) => setText(html("access-problem"), error.message),
    );
  }

  /** @param {Invitation[]} all */
  #showInvitations(all) {
    const now = Date.now() / 1000;
    const rows = all.reverse().map((invitation) => {
      const { id, name, made_s, not_after_s, revoked_s, watching } = invitation;
      const isGood = !revoked_s && not_after_s > now;
      const state = revoked_s ? `taken back ${ago(revoked_s)}` : isGood ? `good for ${span(not_after_s - now)}` : `ended ${ago(not_after_s)}`;
      const act = () => this.#takeBack(invitation);
      const button = isGood ? { label: "Take back…", name: `Take back the invitation ${short(id)} to ${name}`, act } : undefined;
      return { cells: [code(id), name, ago(made_s), String(watching ?? "–"), state], button, over: !isGood };
    });
    table("invitations", ["Link", "Stream", "Made", "Watching", "State"], rows, "No link was made in the last days.");
  }

  /** @param {Token[]} all */
  #showTokens(all) {
    const now = Date.now() / 1000;
    const rows = all.reverse().map(({ id, role, made_s, expires_s, used_by }) => {
      const isOpen = !used_by && expires_s > now;
      const used = used_by ? words("used by ", code(used_by)) : isOpen ? `open for ${span(expires_s - now)}` : "expired";
      return { cells: [code(id), role, ago(made_s), used], over: !isOpen };
    });
    table("tokens", ["Token", "For a", "Made", "State"], rows, "No join token was made in the last days.");
  }

  /** @param {Service[]} all */
  #showServices(all) {
    const rows = all.map((service) => {
      const { fingerprint, role, name, enrolled_s, revoked_s } = service;
      const act = () => this.#revoke(service);
      const button = revoked_s ? undefined : { label: "Revoke…", name: `Revoke the ${role} ${name || short(fingerprint)}`, act };
      const state = revoked_s ? `revoked ${ago(revoked_s)}` : "let in";
      return { cells: [name || "–", role, code(fingerprint), ago(enrolled_s), state], button, over: Boolean(revoked_s) };
    });
    table("services", ["Name", "Is a", "Key", "Since", "State"], rows, "No broadcaster and no relay has come in yet: make a join token for the first.");
  }

  /** @param {Block[]} all */
  #showBlocks(all) {
    const rows = all.reverse().map((block) => {
      const { fingerprint, component, name, software, since_s } = block;
      const who = name || madeOf({ software, component });
      const act = () => this.#try(() => call("POST", `operator/blocks/${fingerprint}/lift`).then(() => this.#look()));
      return { cells: [who, KINDS[component], code(fingerprint), ago(since_s)], button: { label: "Lift", name: `Lift the block of ${who} ${short(fingerprint)}`, act } };
    });
    table("blocks", ["Who", "Is a", "Key", "Blocked"], rows, "Nobody is blocked.");
  }

  async #makeToken() {
    const role = byId("token-role", HTMLSelectElement).value;
    const expires_in_s = Number(byId("token-for", HTMLSelectElement).value);
    const made = await call("POST", "operator/tokens", { role, expires_in_s });
    setText(html("token-text"), made.token);
    html("token-made").hidden = false;
    await this.#look();
  }

  /** @param {Invitation} invitation */
  #takeBack({ id, name, watching }) {
    const who = watching === 1 ? "The one viewer who came by it is put out." : watching ? `The ${watching} viewers who came by it are put out.` : "Nobody watches by it now.";
    askFirst({
      title: `Take back the link to ${name}?`,
      words: `${who} It opens the stream no longer; other links do.`,
      button: "Take back",
      act: () => call("POST", `operator/invitations/${id}/revoke`).then(() => this.#look()),
    });
  }

  /** @param {Service} service */
  #revoke({ fingerprint, role, name }) {
    askFirst({
      title: `Revoke the ${role} ${name || short(fingerprint)}?`,
      words: "It is put out of everything, now, and comes in again only with a new join token.",
      button: "Revoke",
      act: () => call("POST", `operator/peers/${fingerprint}/revoke`).then(() => this.#look()),
    });
  }
}

/** @param {string} long */
function short(long) {
  return long.slice(0, DIGITS);
}

/** @param {string} long */
function code(long) {
  const element = make("code", "", short(long));
  element.title = long;
  return element;
}

/** @param {...(string | Node)} parts */
function words(...parts) {
  const all = document.createDocumentFragment();
  all.append(...parts);
  return all;
}

/** @param {number} at_s */
function ago(at_s) {
  const seconds = Date.now() / 1000 - at_s;
  return seconds < 60 ? "just now" : `${span(seconds, 1)} ago`;
}

/**
 * Fills a table; one in which nothing differs is left alone, with the focus that may be in it.
 * @param {string} id @param {string[]} head @param {Row[]} rows @param {string} none
 */
function table(id, head, rows, none) {
  const place = html(id);
  const lines = rows.map(({ cells, button, over }) => {
    const line = make("tr", over ? "over" : "", ...cells.map((cell) => make("td", "", cell)));
    const last = make("td", "act");
    if (button) {
      const press = make("button", "small", button.label);
      press.type = "button";
      press.setAttribute("aria-label", button.name);
      press.onclick = button.act;
      last.append(press);
    }
    line.append(last);
    return line;
  });
  const said = lines.map((line) => line.textContent).join("\n") || none;
  if (place.dataset.said === said) return;
  const focused = document.activeElement?.getAttribute("aria-label");
  place.dataset.said = said;
  if (!lines.length) {
    place.replaceChildren(make("p", "quiet", none));
    return;
  }
  const names = head.map((name) => {
    const cell = make("th", "", name);
    cell.scope = "col";
    return cell;
  });
  const act = make("td", "act"); // above the buttons stands nothing
  place.replaceChildren(make("table", "", make("thead", "", make("tr", "", ...names, act)), make("tbody", "", ...lines)));
  for (const press of place.querySelectorAll("button")) if (focused && press.getAttribute("aria-label") === focused) press.focus();
}
