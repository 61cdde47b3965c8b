// The page's private keys, where the browser holds them: made by WebCrypto, not to be read by anybody, this page
// included. Over plain http there is no WebCrypto, and the machines hold an elliptic key themselves.

import { keep, kept } from "./store.js";

/** @typedef {Extract<import("../pkg/web.js").Order, { do: "useKey" }>} Task */

/** From the paper (§III.B.2). */
const RSA = { name: "RSA-OAEP", hash: "SHA-256", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
const ELLIPTIC = { name: "X25519" };

/** @param {unknown} value @returns {value is CryptoKeyPair} */
function isPair(value) {
  const pair = /** @type {Partial<CryptoKeyPair> | undefined} */ (value);
  return pair?.privateKey instanceof CryptoKey && pair.publicKey instanceof CryptoKey;
}

/**
 * @param {string} name
 * @param {() => Promise<CryptoKeyPair>} make
 */
async function pair(name, make) {
  const found = await kept(name);
  if (isPair(found)) return found;
  const made = await make();
  await keep(name, made);
  return made;
}

/** See the file's own words. */
export class Keys {
  /** @type {CryptoKey | undefined} */
  #elliptic;
  /** @type {CryptoKey | undefined} */
  #rsa;
  /** The elliptic key's public half; empty if this browser holds none for us. */
  publicKey = new Uint8Array(0);

  /** Whether this browser can hold keys for us here. */
  static get areHeld() {
    return isSecureContext && Boolean(globalThis.crypto?.subtle);
  }

  /** With an elliptic key, where the browser knows that kind. */
  static async load() {
    const keys = new Keys();
    if (!Keys.areHeld) return keys;
    try {
      const found = await pair("elliptic key", async () => {
        const made = await crypto.subtle.generateKey(ELLIPTIC, false, ["deriveBits"]);
        if (!("privateKey" in made)) throw new Error("half a key");
        return made;
      });
      keys.publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", found.publicKey));
      keys.#elliptic = found.privateKey;
    } catch (error) {
      console.info("this browser holds no elliptic key for us:", String(error));
    }
    return keys;
  }

  /** Makes the RSA key there is to be, or takes the one kept; gives its public half, DER. */
  async rsa() {
    const found = await pair("RSA key", () => crypto.subtle.generateKey(RSA, false, ["encrypt", "decrypt"]));
    this.#rsa = found.privateKey;
    return new Uint8Array(await crypto.subtle.exportKey("spki", found.publicKey));
  }

  /**
   * Does what takes a private key, or RSA; nothing if it cannot be done.
   * @param {Task} task
   * @returns {Promise<Uint8Array | undefined>}
   */
  async answer(task) {
    try {
      return new Uint8Array(await this.#answer(task));
    } catch {
      return undefined; // why is for nobody to know: it may be a stranger's message
    }
  }

  /** @param {Task} task @returns {Promise<ArrayBuffer>} */
  async #answer({ how, bytes, label, to }) {
    const { subtle } = crypto;
    const rsa = { name: "RSA-OAEP", label: new TextEncoder().encode(label) };
    switch (how) {
      case "agree": {
        if (!this.#elliptic) throw new Error("no elliptic key");
        const theirs = await subtle.importKey("raw", bytes, ELLIPTIC, false, []);
        return subtle.deriveBits({ ...ELLIPTIC, public: theirs }, this.#elliptic, 256);
      }
      case "open":
        if (!this.#rsa) throw new Error("no RSA key");
        return subtle.decrypt(rsa, this.#rsa, bytes);
      case "seal": {
        const key = await subtle.importKey("spki", to, { name: "RSA-OAEP", hash: "SHA-256" }, false, ["encrypt"]);
        return subtle.encrypt(rsa, key, bytes);
      }
    }
  }
}
