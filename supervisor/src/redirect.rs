//! Plain http where there is https: an address to go to, and nothing else.

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

use crate::config::door::{Origin, host_and_port};

/// Where to.
#[derive(Clone)]
pub(crate) struct Target {
    /// As the operator says viewers reach it.
    pub(crate) public: Option<Origin>,
    /// Else the host that was asked for, at this port.
    pub(crate) port: u16,
}

pub(crate) fn routes(target: Target) -> Router {
    Router::new()
        .fallback(async move |uri: Uri, request: HeaderMap| answer(&target, &uri, &request))
}

fn answer(target: &Target, uri: &Uri, request: &HeaderMap) -> Response {
    let host = request
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let Some(origin) = target.origin(host) else {
        return (StatusCode::BAD_REQUEST, "which host?").into_response();
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let address = format!("{origin}{path}");
    // 308: also whoever posts keeps to its method.
    (
        StatusCode::PERMANENT_REDIRECT,
        [(header::LOCATION, address)],
    )
        .into_response()
}

impl Target {
    fn origin(&self, host: Option<&str>) -> Option<String> {
        if let Some(public) = &self.public {
            return Some(public.to_string());
        }
        let (host, _) = host_and_port(host?)?;
        let port = match self.port {
            443 => String::new(),
            other => format!(":{other}"),
        };
        Some(format!("https://{host}{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(port: u16, host: &str) -> Option<String> {
        Target { public: None, port }.origin(Some(host))
    }

    #[test]
    fn the_same_host_at_the_port_of_https() {
        assert_eq!(of(443, "tv.lan:80").as_deref(), Some("https://tv.lan"));
        assert_eq!(of(8443, "tv.lan").as_deref(), Some("https://tv.lan:8443"));
        assert_eq!(
            of(8443, "[fe80::1]:80").as_deref(),
            Some("https://[fe80::1]:8443")
        );
        assert_eq!(
            of(8443, "[fe80::1]").as_deref(),
            Some("https://[fe80::1]:8443")
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_host_and_path_are_asked_for_the_answer_leads_to_that_host_or_nowhere(
            host in proptest::collection::vec(0x20_u8..=0xFF, 0..40),
            name in "[a-z0-9.:\\[\\]@/\\\\?#%-]{0,30}",
            path in "/[!-~]{0,60}",
            port in proptest::sample::select(vec![443, 8443]),
        ) {
            let target = Target { public: None, port };
            let Ok(uri) = path.parse::<Uri>() else {
                return Ok(());
            };
            for host in [host.as_slice(), name.as_bytes()] {
                let mut request = HeaderMap::new();
                let Ok(value) = axum::http::HeaderValue::from_bytes(host) else {
                    continue;
                };
                request.insert(header::HOST, value);
                let answer = answer(&target, &uri, &request);
                let Some(place) = answer.headers().get(header::LOCATION) else {
                    proptest::prop_assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
                    continue;
                };
                let place: Uri = place.to_str().expect("text").parse().expect("an address");
                let said = std::str::from_utf8(host).expect("a host is ASCII");
                let (said, _) = host_and_port(said).expect("it leads somewhere");
                let expected = (Some(said), (port != 443).then_some(port));
                proptest::prop_assert_eq!((place.host(), place.port_u16()), expected);
                proptest::prop_assert_eq!(place.path(), uri.path());
            }
        }
    }

    #[test]
    fn a_host_that_is_none_is_nowhere() {
        assert_eq!(of(443, "a/b"), None);
        assert_eq!(of(443, ""), None);
        assert_eq!(of(443, "user@evil.example"), None);
    }

    #[test]
    fn what_the_operator_says_counts_more() {
        let public = Origin::parse("https://live.example.org");
        let target = Target { public, port: 8443 };
        let to = target.origin(Some("tv.lan"));
        assert_eq!(to.as_deref(), Some("https://live.example.org"));
    }
}
