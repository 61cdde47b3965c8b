//! What every answer tells the browser to be careful about.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Scripts and styles are our own, WebAssembly may run, media comes out of MediaSource. `'self'` covers our own
/// WebSocket as well: CSP 3, in Chromium from 70, in Firefox from 50, in Safari from 15.4.
const SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; \
    media-src 'self' blob:; img-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const ALWAYS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=()",
    ),
];

/// A year, as usual. Only where somebody vouches for the certificate: a browser that was told so lets nobody
/// past a warning about it.
const ONLY_TLS: &str = "max-age=31536000";

/// Adds them to an answer's.
pub(crate) fn add(to: &mut HeaderMap, only_tls: bool) {
    for (name, value) in ALWAYS {
        to.insert(name, HeaderValue::from_static(value));
    }
    if only_tls {
        to.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static(ONLY_TLS),
        );
    }
}
