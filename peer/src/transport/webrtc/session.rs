//! Session descriptions and candidates as text: what is changed in ours, and what is left out of
//! the other side's, before the library sees it.

use std::net::IpAddr;

use rtc::peer_connection::transport::{RTCIceCandidate, RTCIceCandidateInit, RTCIceCandidateType};

use crate::transport::{MAX_DESCRIPTION, TransportError};

/// Candidates taken from the other side for one connection: each is an address that we send checks
/// to, at the word of whoever signs the description. Guess: a few interfaces, each with a server
/// reflexive and a relayed one.
pub(super) const MAX_REMOTE_CANDIDATES: usize = 32;

/// Priority of the configured external address: that of a server-reflexive candidate
/// (RFC 8445 §5.1.2.1: type 100, local preference 65535, component 1).
const EXTERNAL_PRIORITY: u32 = (100 << 24) | (65_535 << 8) | 255;

/// Our own description without its candidates, which follow one by one.
pub(super) fn without_candidates(sdp: &str) -> String {
    filtered(sdp, |line| {
        !line.starts_with("a=candidate:") && !line.starts_with("a=end-of-candidates")
    })
}

/// The other side's description as far as it is of use here: without mDNS candidates, which cannot
/// be resolved (their owner's checks tell us its address), and with a bounded number of others.
pub(super) fn accepted(sdp: &str) -> Result<String, TransportError> {
    if sdp.len() > MAX_DESCRIPTION {
        return Err(TransportError::Description(format!(
            "{} bytes are too many",
            sdp.len()
        )));
    }
    let mut candidates = 0;
    Ok(filtered(sdp, |line| {
        let candidate = line.starts_with("a=candidate:");
        candidates += usize::from(candidate);
        !candidate || (!is_mdns(line) && candidates <= MAX_REMOTE_CANDIDATES)
    }))
}

fn filtered(sdp: &str, mut keep: impl FnMut(&str) -> bool) -> String {
    let mut kept = String::with_capacity(sdp.len());
    for line in sdp.lines().filter(|line| keep(line)) {
        kept.push_str(line);
        kept.push_str("\r\n");
    }
    kept
}

/// Whether a candidate's address, its fifth word, is an mDNS name.
fn is_mdns(candidate: &str) -> bool {
    candidate
        .split_ascii_whitespace()
        .nth(4)
        .is_some_and(|address| address.ends_with(".local"))
}

/// The name of the description's only media section.
pub(super) fn media_id(sdp: &str) -> String {
    let id = sdp.lines().find_map(|line| line.strip_prefix("a=mid:"));
    id.unwrap_or("0").trim().to_owned()
}

/// How candidates of ours are written.
#[derive(Debug)]
pub(super) struct CandidateWriter {
    pub(super) media_id: String,
    pub(super) ufrag: String,
    /// The shared port, in the place of the one that the library believes in.
    pub(super) port: u16,
}

impl CandidateWriter {
    /// One of the library's candidates, with the port that leads to us. `None` when the library
    /// cannot write its own candidate.
    pub(super) fn local(&self, mut candidate: RTCIceCandidate) -> Option<String> {
        match candidate.typ {
            RTCIceCandidateType::Host => candidate.port = self.port,
            RTCIceCandidateType::Srflx => candidate.related_port = self.port,
            _ => {}
        }
        Some(self.write(candidate.to_json().ok()?.candidate))
    }

    /// The address under which a router forwards our port to us.
    pub(super) fn external(&self, address: IpAddr) -> String {
        let port = self.port;
        let any = if address.is_ipv4() { "0.0.0.0" } else { "::" };
        self.write(format!(
            "candidate:external 1 udp {EXTERNAL_PRIORITY} {address} {port} typ srflx raddr {any} \
             rport {port}"
        ))
    }

    fn write(&self, candidate: String) -> String {
        let init = RTCIceCandidateInit {
            candidate,
            sdp_mid: Some(self.media_id.clone()),
            sdp_mline_index: Some(0),
            username_fragment: Some(self.ufrag.clone()),
            url: None,
        };
        serde_json::to_string(&init).expect("strings and a number always become JSON")
    }
}

/// A candidate of the other side, if there is one to try: not for `null` or an empty one (the end
/// of them), nor for an mDNS name.
pub(super) fn remote_candidate(json: &str) -> Result<Option<RTCIceCandidateInit>, TransportError> {
    let refused = |error: &dyn std::fmt::Display| TransportError::Candidate(error.to_string());
    if json.len() > MAX_DESCRIPTION {
        return Err(refused(&format_args!("{} bytes are too many", json.len())));
    }
    let init: Option<RTCIceCandidateInit> = serde_json::from_str(json).map_err(|e| refused(&e))?;
    Ok(init.filter(|init| !init.candidate.is_empty() && !is_mdns(&init.candidate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mdns_candidates_are_left_out_of_an_offer_and_others_kept() {
        let sdp = "v=0\r\na=candidate:1 1 udp 2 1b2.local 5 typ host\r\na=candidate:2 1 udp 2 192.0.2.1 5 typ host\r\n";
        let kept = accepted(sdp).expect("short enough");
        assert_eq!(
            kept,
            "v=0\r\na=candidate:2 1 udp 2 192.0.2.1 5 typ host\r\n"
        );
        assert_eq!(without_candidates(sdp), "v=0\r\n");
    }

    proptest::proptest! {
        #[test]
        fn whatever_description_comes_what_is_kept_of_it_is_bounded_and_names_no_mdns_host(
            lines in proptest::collection::vec(
                ".{0,60}|a=(candidate:[0-9 a-z.]{0,40}|mid:.{0,9}|end-of-candidates)", 0..80
            ),
        ) {
            let sdp = lines.join("\r\n");
            let kept = accepted(&sdp).expect("short enough");
            let candidates: Vec<_> = kept.lines().filter(|line| line.starts_with("a=candidate:")).collect();
            proptest::prop_assert!(candidates.len() <= MAX_REMOTE_CANDIDATES);
            proptest::prop_assert!(!candidates.into_iter().any(is_mdns));
            proptest::prop_assert!(!without_candidates(&sdp).contains("a=candidate:1"));
            let _ = media_id(&sdp);
        }

        #[test]
        fn whatever_candidate_comes_is_refused_or_one_to_try(
            json in r#".{0,80}|\{"candidate":"[^"\\]{0,60}"(,"sdpMid":"0")?(,"sdpMLineIndex":[0-9]{1,6})?\}"#,
        ) {
            if let Ok(Some(candidate)) = remote_candidate(&json) {
                proptest::prop_assert!(!candidate.candidate.is_empty() && !is_mdns(&candidate.candidate));
            }
        }
    }

    #[test]
    fn a_browsers_last_candidates_are_no_error() {
        for end in ["null", r#"{"candidate":"","sdpMid":"0","sdpMLineIndex":0}"#] {
            assert_eq!(remote_candidate(end).expect("no error"), None);
        }
        assert!(remote_candidate("{").is_err());
    }

    #[test]
    fn the_external_address_is_written_as_browsers_take_it() {
        let writer = CandidateWriter {
            media_id: "0".into(),
            ufrag: "abcd".into(),
            port: 4000,
        };
        let json = writer.external(IpAddr::from([198, 51, 100, 7]));
        let init = remote_candidate(&json).expect("JSON").expect("a candidate");
        assert!(
            init.candidate.contains("198.51.100.7 4000 typ srflx"),
            "{json}"
        );
        assert_eq!(init.username_fragment.as_deref(), Some("abcd"));
    }
}
