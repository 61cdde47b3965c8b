//! How the supervisor is reached: TLS, whose pages may speak to it, whose word about addresses counts.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

/// What connections are wrapped in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawTls")]
pub(crate) struct Tls {
    pub(crate) mode: Mode,
    /// Where plain http is answered by a redirection to https.
    pub(crate) redirect_http: Option<SocketAddr>,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// There is none: plain http.
    #[default]
    Off,
    /// Made at the first start, for these names besides the machine's own.
    Made { names: Vec<String> },
    /// Somebody else's work, PEM.
    Files { certificate: PathBuf, key: PathBuf },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    mode: String,
    names: Option<Vec<String>>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    redirect_http: Option<SocketAddr>,
}

impl TryFrom<RawTls> for Tls {
    type Error = String;

    fn try_from(raw: RawTls) -> Result<Self, String> {
        let files = raw.certificate.is_some() || raw.key.is_some();
        let mode = match (raw.mode.as_str(), raw.names, raw.certificate, raw.key) {
            ("off", None, None, None) if raw.redirect_http.is_some() => {
                return Err(
                    "tls.redirect_http has nowhere to send anybody while tls.mode = \"off\"".into(),
                );
            }
            ("off", None, None, None) => Mode::Off,
            ("made", names, None, None) => Mode::Made {
                names: names.unwrap_or_default(),
            },
            ("files", None, Some(certificate), Some(key)) => Mode::Files { certificate, key },
            ("files", None, ..) => {
                return Err("tls.mode = \"files\" needs tls.certificate and tls.key".into());
            }
            ("off" | "made", ..) if files => {
                return Err("tls.certificate and tls.key are only for mode = \"files\"".into());
            }
            ("off" | "files", Some(_), ..) => {
                return Err("tls.names is only for mode = \"made\"".into());
            }
            (other, ..) => {
                return Err(format!(
                    "tls.mode is {other:?}, but must be \"off\", \"made\" or \"files\""
                ));
            }
        };
        Ok(Self {
            mode,
            redirect_http: raw.redirect_http,
        })
    }
}

/// Scheme, host and perhaps port of a page: what a browser says in `Origin`. In lower case, without a usual port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Origin {
    scheme: Scheme,
    host: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn words(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
        }
    }

    const fn port(self) -> &'static str {
        match self {
            Self::Http => ":80",
            Self::Https => ":443",
        }
    }
}

impl Origin {
    /// None for what is no web page: `null`, files, extensions.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let mut schemes = [Scheme::Http, Scheme::Https].into_iter();
        let (scheme, host) = schemes.find_map(|scheme| {
            let host = text.strip_prefix(scheme.words())?;
            Some((scheme, host))
        })?;
        host_and_port(host)?;
        let host = host.strip_suffix(scheme.port()).unwrap_or(host);
        Some(Self {
            scheme,
            host: host.to_owned(),
        })
    }

    /// Whether a `Host` header of a request to the same place looks like this.
    pub(crate) fn is_at(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        host.strip_suffix(self.scheme.port()).unwrap_or(&host) == self.host
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scheme.words(), self.host)
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no origin: must be like https://live.example.org, with no path")
        };
        Self::parse(text.strip_suffix('/').unwrap_or(&text)).ok_or_else(wrong)
    }
}

/// The host and the port in a text that is those and nothing else: a name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let digits = |port: &&str| port.bytes().all(|c| c.is_ascii_digit());
    let port = match port {
        Some(port) => Some(Some(port).filter(digits)?.parse().ok()?),
        None => None,
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let is_well = match host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')) {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        // 255: the longest name in DNS.
        None => (1..=255).contains(&host.len()) && host.chars().all(is_name),
    };
    is_well.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(text: &str) -> Result<Tls, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_mode_takes_its_own_keys_alone() {
        assert!(tls("mode = \"made\"\nnames = [\"tv.lan\"]").is_ok());
        let files = "mode = \"files\"\ncertificate = \"/c\"\nkey = \"/k\"";
        assert!(tls(files).is_ok());
        for (wrong, why) in [
            ("mode = \"files\"\nkey = \"/k\"", "needs tls.certificate"),
            ("mode = \"made\"\nkey = \"/k\"", "only for mode = \"files\""),
            ("mode = \"off\"\nnames = []", "only for mode = \"made\""),
            ("mode = \"off\"\nredirect_http = \"0.0.0.0:80\"", "nowhere"),
            ("mode = \"on\"", "must be \"off\""),
        ] {
            let error = tls(wrong).expect_err("must be refused");
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_has_at_most_one_port() {
        for (text, host, port) in [
            ("tv.lan", "tv.lan", None),
            ("tv.lan:8080", "tv.lan", Some(8080)),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("[fe80::1]", "[fe80::1]", None),
            ("[fe80::1]:443", "[fe80::1]", Some(443)),
        ] {
            assert_eq!(host_and_port(text), Some((host, port)));
        }
        for none in [
            "", ":80", "a:", "a:b", "a:+5", "a:99999", "a:5:80", "a::", "]", "[]", "[zz]", "a[b]",
            "::1", "a/b", "user@a", "a b", "é.lan",
        ] {
            assert_eq!(host_and_port(none), None, "{none}");
        }
        assert!(Origin::parse("http://a:8080:80").is_none());
    }

    fn at(origin: &str, host: &str) -> bool {
        Origin::parse(origin).is_some_and(|origin| origin.is_at(host))
    }

    #[test]
    fn a_page_is_at_home_where_its_origin_is_the_host() {
        assert!(at("http://192.168.1.10:8080", "192.168.1.10:8080"));
        assert!(at("https://Live.example.org", "live.example.org"));
        assert!(at("https://live.example.org", "live.example.org:443"));
        assert!(at("http://[fe80::1]:8080", "[fe80::1]:8080"));
    }

    #[test]
    fn any_other_host_or_port_is_another_page() {
        assert!(!at("http://evil.example", "192.168.1.10:8080"));
        assert!(!at("http://192.168.1.10:81", "192.168.1.10:8080"));
        assert!(!at("http://192.168.1.10", "192.168.1.10:8080"));
        assert!(!at(
            "http://live.example.org.evil.example",
            "live.example.org"
        ));
        assert!(!at("null", "null"));
        assert!(!at("file://", ""));
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_stranger_writes_only_the_host_itself_is_at_home(
            scheme in "https?://|ftp://|HTTP://|",
            host in "[a-zA-Z0-9.:\\-\\[\\]@/%]{0,40}|.{0,40}",
        ) {
            let origin = format!("{scheme}{host}");
            let at_ours = at(&origin, "live.example.org");
            let said = host.to_ascii_lowercase();
            let ours = said.split(':').next() == Some("live.example.org");
            proptest::prop_assert!(ours || !at_ours, "{} is taken for ours", origin);
            let home = Origin::parse(&origin).is_some_and(|known| known.is_at(&host));
            proptest::prop_assert_eq!(home, Origin::parse(&origin).is_some());
        }
    }

    #[test]
    fn an_origin_has_no_path() {
        let parse = |text: &str| Origin::try_from(text.to_owned());
        assert!(parse("https://live.example.org/").is_ok());
        assert!(parse("https://live.example.org/watch").is_err());
        assert!(parse("live.example.org").is_err());
    }
}
