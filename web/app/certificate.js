// The DTLS certificate that this browser shows on every link, kept so that it is the same one tomorrow.

const DATABASE = "ownstream";
const STORE = "keys";
const KEY = "dtls-certificate";
/** A certificate that ends within this is replaced: milliseconds. */
const MARGIN = 24 * 3600_000;
/** What a certificate may last at most, in the browsers there are: 365 days, in milliseconds. */
const LASTS = 365 * 24 * 3600_000;

/**
 * The certificate kept, or a new one; a browser that keeps nothing for us (private windows) gets one for this tab.
 * @returns {Promise<{ certificate: RTCCertificate, fingerprint: string }>}
 */
export async function dtlsCertificate() {
  const kept = await read().catch(() => undefined);
  if (kept instanceof RTCCertificate && kept.expires > Date.now() + MARGIN) {
    return { certificate: kept, fingerprint: fingerprint(kept) };
  }
  const made = await RTCPeerConnection.generateCertificate(
    /** @type {EcKeyGenParams & { expires: number }} */ ({ name: "ECDSA", namedCurve: "P-256", expires: LASTS }),
  );
  await write(made).catch(() => console.info("the certificate lasts as long as this tab"));
  return { certificate: made, fingerprint: fingerprint(made) };
}

/** @param {RTCCertificate} certificate */
function fingerprint(certificate) {
  const sha256 = certificate.getFingerprints().find((f) => f.algorithm?.toLowerCase() === "sha-256");
  if (!sha256?.value) throw new Error("this browser's certificates have no SHA-256 fingerprint");
  // SDP writes upper case, Chromium's API lower case.
  return sha256.value.toUpperCase();
}

/** @returns {Promise<IDBDatabase>} */
function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("blocked"));
  });
}

/**
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} ask
 */
async function once(mode, ask) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const request = ask(database.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } finally {
    database.close();
  }
}

function read() {
  return once("readonly", (store) => store.get(KEY));
}

/** @param {RTCCertificate} certificate */
function write(certificate) {
  return once("readwrite", (store) => store.put(certificate, KEY));
}
