//! Operators who are logged in: a random cookie each, of which only the hash is kept, and in memory alone. A
//! supervisor that starts again knows nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// The cookie's name.
const NAME: &str = "ownstream_operator";
/// A session that nobody uses is over after this. Guess: a working day.
const IDLE: Duration = Duration::from_secs(12 * 3600);
/// How long a browser keeps the cookie: longer than any session should last without a break, for it is the supervisor that ends
/// one, and a browser that forgot it first would log out whoever is at work. Guess.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Sessions at once; the one unused for longest goes first. Guess: few people, several browsers each.
const MOST: usize = 64;

/// All sessions. Clones are the same ones.
#[derive(Clone, Default)]
pub(crate) struct Sessions {
    used: Arc<Mutex<HashMap<[u8; 32], Instant>>>,
}

/// One of them, to be asked later on whether it is over; to ask is no use of it.
#[derive(Clone)]
pub(crate) struct Session {
    hash: [u8; 32],
    all: Sessions,
}

impl Session {
    /// Whether it was ended, or nobody has used it for too long.
    pub(crate) fn is_over(&self) -> bool {
        !self.all.lasts(&self.hash, Instant::now())
    }
}

impl Sessions {
    /// Begins one, and gives the cookie that stands for it. `secure`: browsers are to send it over https alone.
    pub(crate) fn begin(&self, secure: bool) -> String {
        let token = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let mut used = self.lock();
        while used.len() >= MOST {
            let oldest = used
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(hash, _)| *hash);
            oldest.and_then(|oldest| used.remove(&oldest));
        }
        used.insert(hash(&token), Instant::now());
        cookie(&token, KEPT.as_secs(), secure)
    }

    /// Whether the request comes from somebody who is logged in.
    pub(crate) fn has(&self, request: &HeaderMap) -> bool {
        self.of(request).is_some()
    }

    /// The session that the request is made in, and a use of it; none if it is over.
    pub(crate) fn of(&self, request: &HeaderMap) -> Option<Session> {
        let hash = hash(token(request)?);
        let now = Instant::now();
        let mut used = self.lock();
        used.retain(|_, at| now.duration_since(*at) < IDLE);
        *used.get_mut(&hash)? = now;
        Some(Session {
            hash,
            all: self.clone(),
        })
    }

    /// Ends the request's session, and gives the cookie that makes the browser forget it.
    pub(crate) fn end(&self, request: &HeaderMap, secure: bool) -> String {
        if let Some(token) = token(request) {
            self.lock().remove(&hash(token));
        }
        cookie("", 0, secure)
    }

    /// Ends all: the password is another one.
    pub(crate) fn end_all(&self) {
        self.lock().clear();
    }

    fn lasts(&self, hash: &[u8; 32], now: Instant) -> bool {
        let used = self.lock();
        let at = used.get(hash);
        at.is_some_and(|at| now.duration_since(*at) < IDLE)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Instant>> {
        // Each step leaves the map whole, whatever panicked between.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// No script reads it, and no page of another site makes a browser send it.
fn cookie(token: &str, seconds: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{NAME}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

fn token(request: &HeaderMap) -> Option<&str> {
    let cookies = request.get_all(header::COOKIE).iter();
    let mut cookies = cookies
        .filter_map(|line| line.to_str().ok())
        .flat_map(|l| l.split(';'));
    cookies.find_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn request(cookie: &str) -> HeaderMap {
        let mut request = HeaderMap::new();
        let value = format!("other=1; {cookie}; last=2");
        request.insert(
            header::COOKIE,
            HeaderValue::from_str(&value).expect("ASCII"),
        );
        request
    }

    proptest::proptest! {
        #[test]
        fn whatever_cookies_come_a_session_is_found_by_its_own_alone(
            lines in proptest::collection::vec("(ownstream_operator=?)?[!-~ ]{0,40}", 0..4),
            raw in proptest::collection::vec(0x20_u8..=0xFF, 0..60),
        ) {
            let sessions = Sessions::default();
            let cookie = sessions.begin(false);
            let mut request = HeaderMap::new();
            for line in lines.iter().map(String::as_bytes).chain([raw.as_slice()]) {
                if let Ok(value) = HeaderValue::from_bytes(line) {
                    request.append(header::COOKIE, value);
                }
            }
            proptest::prop_assert!(!sessions.has(&request));
            request.insert(header::COOKIE, HeaderValue::from_str(pair(&cookie)).expect("ASCII"));
            proptest::prop_assert!(sessions.has(&request));
        }
    }

    fn pair(cookie: &str) -> &str {
        cookie.split(';').next().expect("a first part")
    }

    #[test]
    fn a_session_lasts_until_it_is_ended() {
        let sessions = Sessions::default();
        let cookie = sessions.begin(false);
        assert!(cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains("Secure"));
        assert!(sessions.has(&request(pair(&cookie))));
        assert!(!sessions.has(&request(&format!("{NAME}=guess"))));
        assert!(!sessions.has(&HeaderMap::new()));
        sessions.end(&request(pair(&cookie)), false);
        assert!(!sessions.has(&request(pair(&cookie))));
    }

    #[test]
    fn a_session_that_is_only_asked_about_runs_out() {
        let sessions = Sessions::default();
        let request = request(pair(&sessions.begin(false)));
        let session = sessions.of(&request).expect("it has just begun");
        assert!(!session.is_over());
        let used = sessions.lock()[&session.hash];
        assert!(sessions.lasts(&session.hash, used + IDLE / 2));
        assert!(!sessions.lasts(&session.hash, used + IDLE));
        assert_eq!(sessions.lock()[&session.hash], used);

        sessions.end_all();
        assert!(session.is_over());
        assert!(sessions.of(&request).is_none());
    }

    #[test]
    fn only_so_many_are_remembered_and_the_newest_of_them() {
        let sessions = Sessions::default();
        let all: Vec<String> = (0..=MOST).map(|_| sessions.begin(true)).collect();
        assert!(!sessions.has(&request(pair(&all[0]))));
        assert!(sessions.has(&request(pair(&all[MOST]))));
        assert_eq!(sessions.lock().len(), MOST);
        assert!(all[0].ends_with("; Secure"));
    }
}
