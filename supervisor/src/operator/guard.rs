//! Who may use the operator's endpoints over TCP: whoever is logged in, or has the token. Guessing is slow.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use log::{info, warn};
use protocol::stream_manager::network;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Office;
use super::routes::complaint;
use super::sessions::Session;
use crate::config::door::Origin;
use crate::door::Caller;

/// Wrong tokens and passwords of one address in [`WINDOW`]. Guess: more than a person's slips.
const FAILURES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered. Guess: 100 KB. When there are more, strangers wait until a window has passed.
const ADDRESSES: usize = 1024;

/// What the check needs.
#[derive(Clone)]
pub(crate) struct Guard {
    office: Office,
    failures: Arc<Mutex<Failures>>,
}

impl Guard {
    pub(crate) fn new(office: Office) -> Self {
        Self {
            office,
            failures: Arc::default(),
        }
    }

    /// That the request carries the session's cookie, and which, or the token; or the answer that it does not.
    async fn admit(
        &self,
        address: IpAddr,
        method: &Method,
        request: &HeaderMap,
    ) -> Result<Option<Session>, Response> {
        if bearer(request).is_none()
            && let Some(session) = self.office.sessions().of(request)
        {
            // SameSite=Strict keeps other sites' requests away in browsers that know it; this does in all.
            return match method.is_safe() || comes_from_here(request) {
                true => Ok(Some(session)),
                false => Err(foreign()),
            };
        }
        self.be_patient(address)?;
        let ours = self.office.operator_hash().await;
        let ours =
            ours.map_err(|error| complaint(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let words = match (ours, bearer(request)) {
            (None, Some(_)) => "no operator token was made yet: run `supervisor operator-token`",
            (_, None) => {
                "this is for the operator: log in at /monitor, or send Authorization: Bearer … with what \
                 `supervisor operator-token` prints"
            }
            (Some(ours), Some(theirs)) if is_same(&ours, theirs) => return Ok(None),
            (Some(_), Some(_)) => {
                // Only now: scripts may ask much at once. Of 256 random bits, some guesses more find nothing.
                self.with_failures(|failures| failures.note(address, Instant::now()));
                say_refused(address, "token");
                "that is not the operator's token"
            }
        };
        Err(unauthorized(words))
    }

    /// Whether the request comes from somebody who is logged in.
    pub(crate) fn knows(&self, request: &HeaderMap) -> bool {
        self.office.sessions().has(request)
    }

    /// Lets somebody in who knows the password: gives the cookie of the session.
    pub(crate) async fn log_in(
        &self,
        address: IpAddr,
        request: &HeaderMap,
        password: String,
        secure: bool,
    ) -> Result<String, Response> {
        if !comes_from_here(request) {
            return Err(foreign());
        }
        self.begin_attempt(address)?;
        let right = self.office.check_password(password).await;
        if !matches!(right, Ok(Some(false))) {
            self.with_failures(|failures| failures.take_back(address));
        }
        match right {
            Ok(Some(true)) => {
                info!(address:%, event = "logged-in"; "the operator has logged in");
                Ok(self.office.sessions().begin(secure))
            }
            Ok(Some(false)) => {
                say_refused(address, "password");
                Err(unauthorized("that is not the password"))
            }
            Ok(None) => Err(complaint(
                StatusCode::CONFLICT,
                "no password was set yet: run `supervisor operator-password` on the supervisor's machine".into(),
            )),
            Err(error) => Err(complaint(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        }
    }

    /// Ends the request's session.
    #[allow(
        clippy::result_large_err,
        reason = "it is the answer, and goes no further"
    )]
    pub(crate) fn log_out(&self, request: &HeaderMap, secure: bool) -> Result<String, Response> {
        match comes_from_here(request) {
            true => Ok(self.office.sessions().end(request, secure)),
            false => Err(foreign()),
        }
    }

    #[allow(
        clippy::result_large_err,
        reason = "it is the answer, and goes no further"
    )]
    fn be_patient(&self, address: IpAddr) -> Result<(), Response> {
        let patience = |failures: &mut Failures| failures.is_too_many(address, Instant::now());
        match self.with_failures(patience) {
            true => Err(too_many()),
            false => Ok(()),
        }
    }

    /// Counts an attempt as failed before anybody knows: those that come at once wait for each other in the check,
    /// and all of them would find the number of before it.
    #[allow(
        clippy::result_large_err,
        reason = "it is the answer, and goes no further"
    )]
    fn begin_attempt(&self, address: IpAddr) -> Result<(), Response> {
        let begin =
            |failures: &mut Failures| failures.note_unless_too_many(address, Instant::now());
        match self.with_failures(begin) {
            true => Ok(()),
            false => Err(too_many()),
        }
    }

    fn with_failures<T>(&self, work: impl FnOnce(&mut Failures) -> T) -> T {
        // Numbers are whole whatever panicked between.
        work(&mut self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets a request on to its endpoint, with the session that it is made in, if any; or answers it.
pub(crate) async fn check(
    State(guard): State<Guard>,
    Extension(caller): Extension<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let admitted = guard
        .admit(caller.address, &method, request.headers())
        .await;
    match admitted {
        Ok(Some(session)) => {
            request.extensions_mut().insert(session);
            next.run(request).await
        }
        Ok(None) => next.run(request).await,
        Err(refused) => refused,
    }
}

/// Whether a request was made by a page of ours, as far as a browser says. Programs are no browsers, and say nothing.
fn comes_from_here(request: &HeaderMap) -> bool {
    let text = |name| {
        request
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or(""))
    };
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => {
            Origin::parse(origin).is_some_and(|origin| origin.is_at(host))
        }
        (Some(_), None) => false,
        (None, _) => true,
    }
}

fn foreign() -> Response {
    let words = "a page of another site may not ask for this";
    complaint(StatusCode::FORBIDDEN, words.into())
}

fn bearer(request: &HeaderMap) -> Option<&str> {
    let text = request.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Takes as long for every token of the same length.
fn is_same(ours: &[u8; 32], theirs: &str) -> bool {
    let theirs: [u8; 32] = Sha256::digest(theirs).into();
    ours.ct_eq(&theirs).into()
}

fn say_refused(address: IpAddr, what: &str) {
    warn!(address:%, event = "login-refused"; "a {what} that is not the operator's");
}

fn unauthorized(words: &str) -> Response {
    let mut response = complaint(StatusCode::UNAUTHORIZED, words.into());
    let headers = response.headers_mut();
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn too_many() -> Response {
    let words = "too many wrong tokens or passwords from this address: wait a minute";
    let after = [(header::RETRY_AFTER, "60")];
    (
        after,
        complaint(StatusCode::TOO_MANY_REQUESTS, words.into()),
    )
        .into_response()
}

/// Wrong tokens and passwords, and passwords that are being checked, by address.
#[derive(Default)]
struct Failures {
    of: HashMap<IpAddr, (u32, Instant)>,
}

impl Failures {
    fn is_too_many(&mut self, address: IpAddr, now: Instant) -> bool {
        self.of
            .retain(|_, (_, since)| now.duration_since(*since) < WINDOW);
        match self.of.get(&network(address)) {
            Some((count, _)) => *count >= FAILURES,
            None => self.of.len() >= ADDRESSES,
        }
    }

    fn note(&mut self, address: IpAddr, now: Instant) {
        let (count, _) = self.of.entry(network(address)).or_insert((0, now));
        *count += 1;
    }

    /// Whether there may be one more, which is counted then.
    fn note_unless_too_many(&mut self, address: IpAddr, now: Instant) -> bool {
        let may = !self.is_too_many(address, now);
        if may {
            self.note(address, now);
        }
        may
    }

    /// One that was counted was no failure.
    fn take_back(&mut self, address: IpAddr) {
        let address = network(address);
        if let Some((count, _)) = self.of.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn an_address_that_guesses_has_to_wait_and_others_do_not() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for _ in 0..FAILURES {
            assert!(!failures.is_too_many(HERE, now));
            failures.note(HERE, now);
        }
        assert!(failures.is_too_many(HERE, now));
        assert!(!failures.is_too_many(THERE, now));
        assert!(!failures.is_too_many(HERE, now + WINDOW));
    }

    #[test]
    fn attempts_are_limited_before_any_of_them_has_ended() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let begun = (0..256).filter(|_| failures.note_unless_too_many(HERE, now));
        assert_eq!(begun.count(), FAILURES as usize);
        assert!(failures.note_unless_too_many(THERE, now));
        failures.take_back(HERE);
        assert!(failures.note_unless_too_many(HERE, now));
        assert!(!failures.note_unless_too_many(HERE, now));
        assert!(failures.note_unless_too_many(HERE, now + WINDOW));
    }

    #[test]
    fn whoever_knows_the_password_is_not_remembered() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for _ in 0..=FAILURES {
            assert!(failures.note_unless_too_many(HERE, now));
            failures.take_back(HERE);
        }
        assert!(failures.of.is_empty());
        failures.take_back(HERE);
        assert!(failures.of.is_empty());
    }

    #[test]
    fn only_so_many_addresses_are_remembered() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for n in 0..ADDRESSES {
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(n as u32));
            assert!(!failures.is_too_many(address, now));
            failures.note(address, now);
        }
        assert!(failures.is_too_many(HERE, now));
        assert!(!failures.is_too_many(HERE, now + WINDOW));
        assert!(failures.of.is_empty());
    }

    #[test]
    fn the_token_is_what_stands_behind_bearer() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(text));
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("bearer  abc").as_deref(), Some("abc"));
        assert_eq!(of("Basic abc"), None);
        assert_eq!(of("abc"), None);
    }
}
