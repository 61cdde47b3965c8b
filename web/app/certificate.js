// The DTLS certificate that this browser shows on every link, kept so that it is the same one tomorrow.

import { keep, kept } from "./store.js";

const NAME = "dtls-certificate";
/** A certificate that ends within this is replaced: milliseconds. */
const MARGIN = 24 * 3600_000;
/** What a certificate may last at most, in the browsers there are: 365 days, in milliseconds. */
const LASTS = 365 * 24 * 3600_000;

/**
 * The certificate kept, or a new one; a browser that keeps nothing for us (private windows) gets one for this tab.
 * @returns {Promise<{ certificate: RTCCertificate, fingerprint: string }>}
 */
export async function dtlsCertificate() {
  const found = await kept(NAME);
  if (found instanceof RTCCertificate && found.expires > Date.now() + MARGIN) {
    return { certificate: found, fingerprint: fingerprint(found) };
  }
  const made = await RTCPeerConnection.generateCertificate(
    /** @type {EcKeyGenParams & { expires: number }} */ ({ name: "ECDSA", namedCurve: "P-256", expires: LASTS }),
  );
  await keep(NAME, made);
  return { certificate: made, fingerprint: fingerprint(made) };
}

/** @param {RTCCertificate} certificate */
function fingerprint(certificate) {
  const sha256 = certificate.getFingerprints().find((f) => f.algorithm?.toLowerCase() === "sha-256");
  if (!sha256?.value) throw new Error("this browser's certificates have no SHA-256 fingerprint");
  // SDP writes upper case, Chromium's API lower case.
  return sha256.value.toUpperCase();
}
