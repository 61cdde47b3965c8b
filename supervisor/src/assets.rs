//! The pages, embedded: whoever has the binary has everything a browser needs.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rust_embed::RustEmbed;

/// `web/`, without its sources and tests. A debug build reads the files as they are now.
#[derive(RustEmbed)]
#[folder = "../web"]
#[include = "*.html"]
#[include = "*.svg"]
#[include = "app/*"]
#[include = "pkg/*.js"]
#[include = "pkg/*.wasm"]
#[include = "vendor/*.js"]
#[include = "vendor/*.css"]
#[exclude = "node_modules/*"]
struct Pages;

const NOT_BUILT: &str = "<!doctype html><meta charset=utf-8><title>OwnStream Edge</title>\
    <h1>The page is not built yet</h1><p>Run <code>make web</code>, then build and start the supervisor again. \
    (Streams and relays work without it.)</p>";

/// The page of that name.
pub(crate) fn page(name: &str, request: &HeaderMap) -> Response {
    page_if(is_built(), name, request)
}

fn page_if(is_built: bool, name: &str, request: &HeaderMap) -> Response {
    if is_built {
        file(name, request)
    } else {
        html(StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT)
    }
}

/// The file at that path, or that there is none.
pub(crate) fn file(path: &str, request: &HeaderMap) -> Response {
    let found = Pages::get(path).zip(mime(path));
    let Some((file, mime)) = found else {
        return html(
            StatusCode::NOT_FOUND,
            "<!doctype html><title>Not found</title><p>There is no such page.",
        );
    };
    let etag = etag(&file.metadata.sha256_hash());
    let known = request
        .get(header::IF_NONE_MATCH)
        .is_some_and(|theirs| theirs.as_bytes() == etag.as_bytes());
    let (status, body) = match known {
        true => (StatusCode::NOT_MODIFIED, Body::empty()),
        false => (StatusCode::OK, Body::from(file.data.into_owned())),
    };
    // no-cache: a browser asks each time, and is answered 304. A page of yesterday must not meet a new supervisor.
    let headers = [
        (header::CONTENT_TYPE, mime),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, etag.as_str()),
    ];
    (status, headers, body).into_response()
}

fn is_built() -> bool {
    Pages::iter().any(|path| path.starts_with("pkg/") && path.ends_with(".wasm"))
}

fn html(status: StatusCode, text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, headers, text).into_response()
}

fn etag(hash: &[u8; 32]) -> String {
    let digits: String = hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{digits}\"")
}

fn mime(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_the_browser_has_already_is_not_sent_again() {
        let Some(name) = Pages::iter().find(|path| path.ends_with(".html")) else {
            return;
        };
        let first = file(&name, &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut request = HeaderMap::new();
        request.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(file(&name, &request).status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn who_built_without_the_pages_reads_what_to_run() {
        let answer = page_if(false, "receiver.html", &HeaderMap::new());
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(NOT_BUILT.contains("<code>make web</code>"));
    }

    #[test]
    fn sources_and_other_peoples_modules_are_not_served() {
        let wrong = |path: &str| {
            path.contains("node_modules") || path.ends_with(".rs") || path.ends_with(".json")
        };
        assert_eq!(Pages::iter().find(|path| wrong(path)), None);
        for path in [
            "Cargo.toml",
            "../Cargo.toml",
            "src/lib.rs",
            "node_modules/typescript/package.json",
            "",
        ] {
            assert_eq!(
                file(path, &HeaderMap::new()).status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }

    #[test]
    fn webassembly_has_the_type_that_browsers_insist_on() {
        assert_eq!(mime("pkg/web_bg.wasm"), Some("application/wasm"));
        assert_eq!(mime("pkg/web.js"), Some("text/javascript; charset=utf-8"));
    }
}
