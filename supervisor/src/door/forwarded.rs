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

    proptest::proptest! {
        #[test]
        fn whatever_bytes_a_client_writes_the_proxys_own_word_counts(
            theirs in proptest::collection::vec(0x20_u8..=0xFF, 0..200),
            ours in proptest::arbitrary::any::<[u8; 4]>(),
        ) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = axum::http::HeaderValue::from_bytes(&theirs) {
                headers.append("x-forwarded-for", value);
                let _ = address(&headers); // alone: an address or none, and no panic
            }
            let ours = IpAddr::from(ours);
            let value = ours.to_string().parse().expect("an address is a header value");
            headers.append("x-forwarded-for", value);
            proptest::prop_assert_eq!(address(&headers), Some(ours));
        }
    }

    #[test]
    fn an_address_may_have_brackets_and_a_port() {
        assert_eq!(of(&["[2001:db8::7]"]).as_deref(), Some("2001:db8::7"));
        assert_eq!(of(&["[2001:db8::7]:4711"]).as_deref(), Some("2001:db8::7"));
        assert_eq!(of(&["203.0.113.7:4711"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(of(&["::ffff:203.0.113.7"]).as_deref(), Some("203.0.113.7"));
    }
}
