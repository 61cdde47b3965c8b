//! The address that a trusted proxy says it speaks for.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

/// The last address of `X-Forwarded-For`: the one the proxy itself added. Those before it anybody can write.
pub(super) fn address(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    let text = last.to_str().ok()?.rsplit(',').next()?.trim();
    let alone = text.trim_start_matches('[').trim_end_matches(']').parse();
    let address = alone.or_else(|_| text.parse().map(|full: SocketAddr| full.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                "x-forwarded-for",
                axum::http::HeaderValue::from_static(value),
            );
        }
        address(&headers).map(|address| address.to_string())
    }

    #[test]
    fn the_last_one_counts_whatever_a_client_wrote_before() {
        assert_eq!(of(&["203.0.113.7"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(
            of(&["10.0.0.1, 203.0.113.7"]).as_deref(),
            Some("203.0.113.7")
        );
        assert_eq!(
            of(&["10.0.0.1", "203.0.113.7"]).as_deref(),
            Some("203.0.113.7")
        );
        assert_eq!(of(&["10.0.0.1, unknown"]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn an_address_may_have_brackets_and_a_port() {
        assert_eq!(of(&["[2001:db8::7]"]).as_deref(), Some("2001:db8::7"));
        assert_eq!(of(&["[2001:db8::7]:4711"]).as_deref(), Some("2001:db8::7"));
        assert_eq!(of(&["203.0.113.7:4711"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(of(&["::ffff:203.0.113.7"]).as_deref(), Some("203.0.113.7"));
    }
}
