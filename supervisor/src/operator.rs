//! What an operator can have done: the same whether asked over the network, over the control socket, or by a
//! command while no supervisor runs.

pub(crate) mod api;
pub(crate) mod guard;
pub(crate) mod password;
pub(crate) mod routes;
pub(crate) mod sessions;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use log::info;
use protocol::id::{InvitationId, KeyFingerprint, StreamId};
use protocol::security::secret::TokenSecret;
use protocol::security::token;
use protocol::stream_manager::StreamManager;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::ca_store::Authority;
use crate::manager::{Clock, Event, Inbox};
use crate::store::{Blocked, Enrolled, Invited, JoinToken, Store, StoreError};
use api::{
    BlockRow, Done, Invitation, InvitationRequest, InvitationRevoked, InvitationRow, Lifted,
    OperatorToken, PasswordRequest, PeerRow, Revoked, TokenMade, TokenRequest, TokenRow,
};

/// Longest life of a token or an invitation. Guess: who needs longer makes another one.
const LONGEST_S: u64 = 366 * 86_400;
/// Digits of a fingerprint, or of an id, that a person must type at least. Guess: few enough to type, enough to be no slip.
const SHORTEST_PREFIX: usize = 4;

/// Why an operator's wish is not fulfilled. The variants are what the caller does next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    /// It has to be asked otherwise.
    #[error("{0}")]
    Wrong(String),
    /// What it names is not there.
    #[error("{0}")]
    Unknown(String),
    /// It names more than one.
    #[error("{0}")]
    Ambiguous(String),
    /// It needs a supervisor that runs.
    #[error("no supervisor is running here: an invitation is for a stream that is on the air")]
    NotRunning,
    /// Nothing the operator did.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where wishes are fulfilled. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Office {
    store: Store,
    authority: Authority,
    running: Option<Running>,
    sessions: sessions::Sessions,
    checking: Arc<tokio::sync::Mutex<()>>,
}

/// A supervisor that runs.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) inbox: Inbox,
    /// Scheme and host that viewers use.
    pub(crate) pages: String,
    /// The machine's, which invitations are checked by.
    pub(crate) clock: Clock,
}

impl Office {
    pub(crate) fn new(store: Store, running: Option<Running>) -> Result<Self, StoreError> {
        let authority = Authority::open(&store)?;
        Ok(Self {
            store,
            authority,
            running,
            sessions: sessions::Sessions::default(),
            checking: Arc::default(),
        })
    }

    pub(crate) async fn create_token(
        &self,
        wish: TokenRequest,
    ) -> Result<TokenMade, OperatorError> {
        let (made_s, expires_s) = life(wish.expires_in_s)?;
        let secret = TokenSecret::from_bytes(rand::random());
        let digest = secret.digest();
        let kept = JoinToken {
            role: wish.role,
            made_s,
            expires_s,
            used_by: None,
        };
        self.with_store(move |store| store.save_token(&digest, &kept))
            .await?;
        info!(role:% = wish.role; "a join token was made");
        Ok(TokenMade {
            token: self.authority.join_token(secret, wish.role),
            role: wish.role,
            expires_s,
        })
    }

    pub(crate) async fn tokens(&self) -> Result<Vec<TokenRow>, OperatorError> {
        let kept = self.with_store(Store::tokens).await?;
        let mut rows: Vec<TokenRow> = kept.into_iter().map(TokenRow::from).collect();
        rows.sort_by_key(|row| row.made_s);
        Ok(rows)
    }

    pub(crate) async fn peers(&self) -> Result<Vec<PeerRow>, OperatorError> {
        let kept = self.with_store(Store::peers).await?;
        let mut rows: Vec<PeerRow> = kept.into_iter().map(PeerRow::from).collect();
        rows.sort_by_key(|row| row.enrolled_s);
        Ok(rows)
    }

    /// Revokes the one peer whose fingerprint begins so, and has it told to go.
    pub(crate) async fn revoke(&self, prefix: &str) -> Result<Revoked, OperatorError> {
        let prefix = prefix.to_owned();
        let (key, peer) = self.with_store(move |store| revoke(store, &prefix)).await?;
        info!(key:% = key, name = peer.name.as_str(); "a peer was revoked");
        let connected = match &self.running {
            Some(running) => running.ask(|answer| Event::Revoke(key, answer)).await,
            None => None,
        };
        Ok(Revoked {
            fingerprint: key,
            role: peer.role,
            name: peer.name,
            connected,
        })
    }

    /// Blocks a key, and has whoever has it told to go. Gives how many that were; none when nobody could be asked.
    pub(crate) async fn block(
        &self,
        key: KeyFingerprint,
        blocked: Blocked,
    ) -> Result<Option<usize>, OperatorError> {
        self.with_store(move |store| store.block(key, &blocked))
            .await?;
        info!(key:%, event = "blocked"; "blocked by the operator");
        Ok(match &self.running {
            Some(running) => running.ask(|answer| Event::Block(key, answer)).await,
            None => None,
        })
    }

    pub(crate) async fn blocks(&self) -> Result<Vec<BlockRow>, OperatorError> {
        let kept = self.with_store(Store::blocks).await?;
        let mut rows: Vec<BlockRow> = kept.into_iter().map(BlockRow::from).collect();
        rows.sort_by_key(|row| row.since_s);
        Ok(rows)
    }

    /// Lifts the one block of a key whose fingerprint begins so.
    pub(crate) async fn lift(&self, prefix: &str) -> Result<Lifted, OperatorError> {
        let prefix = prefix.to_owned();
        let (key, blocked) = self.with_store(move |store| lift(store, &prefix)).await?;
        info!(key:%, event = "unblocked"; "the operator has lifted a block");
        if let Some(running) = &self.running {
            let _ = running.inbox.send(Event::Unblock(key)).await; // or the supervisor is ending
        }
        Ok(Lifted {
            fingerprint: key,
            component: blocked.component,
            name: blocked.name,
        })
    }

    pub(crate) async fn invite(
        &self,
        wish: InvitationRequest,
    ) -> Result<Invitation, OperatorError> {
        let (made_s, not_after_s) = life(wish.expires_in_s)?;
        let running = self.running.as_ref().ok_or(OperatorError::NotRunning)?;
        let unknown = || OperatorError::Unknown(format!("no stream is called {:?}", wish.stream));
        let stream = running.stream(&wish.stream).await.ok_or_else(unknown)?;
        let id = InvitationId::from_bytes(rand::random());
        // On a board whose clock was set since the start, people's time is not the machine's.
        let checked_s = running.clock.now_s() + wish.expires_in_s;
        let invitation = self.authority.invitation(&token::Invitation {
            stream,
            not_after_s: checked_s,
            id,
        });
        let name = percent_encoded(&wish.stream);
        let kept = Invited {
            stream,
            name: wish.stream,
            made_s,
            // The later one: what is taken back must not be forgotten while it would let anybody in.
            not_after_s: not_after_s.max(checked_s),
            revoked_s: None,
        };
        self.with_store(move |store| store.save_invitation(id, &kept))
            .await?;
        info!(stream:%; "an invitation was made");
        Ok(Invitation {
            id,
            // Behind the #: browsers send that part nowhere, and it is in nobody's log.
            link: format!("{}/watch/{name}#invitation={invitation}", running.pages),
            invitation,
            not_after_s,
        })
    }

    pub(crate) async fn invitations(&self) -> Result<Vec<InvitationRow>, OperatorError> {
        let kept = self.with_store(Store::invitations).await?;
        let mut rows: Vec<InvitationRow> = kept.into_iter().map(InvitationRow::from).collect();
        rows.sort_by_key(|row| row.made_s);
        if let Some(running) = &self.running
            && let Some(watching) = running.watching_by_invitation().await
        {
            for row in &mut rows {
                row.watching = Some(watching.get(&row.id).copied().unwrap_or(0));
            }
        }
        Ok(rows)
    }

    /// Takes back the one invitation whose id begins so, and has those put out who came by it.
    pub(crate) async fn revoke_invitation(
        &self,
        prefix: &str,
    ) -> Result<InvitationRevoked, OperatorError> {
        let prefix = prefix.to_owned();
        let found = self.with_store(move |store| revoke_invitation(store, &prefix));
        let (id, invited) = found.await?;
        let watching = match &self.running {
            Some(running) => {
                let put_out = |answer| Event::RevokeInvitation(id, answer);
                running.ask(put_out).await
            }
            None => None,
        };
        let count = watching.unwrap_or(0);
        info!(stream:% = invited.stream, watching = count; "an invitation was taken back");
        Ok(InvitationRevoked {
            id,
            name: invited.name,
            watching,
        })
    }

    /// A new token for the operator's endpoints, in place of the last.
    pub(crate) async fn new_operator_token(&self) -> Result<OperatorToken, OperatorError> {
        let secret: [u8; 32] = rand::random();
        let token = BASE64_URL_SAFE_NO_PAD.encode(secret);
        let hash = Sha256::digest(&token).into();
        self.with_store(move |store| store.set_operator_token(hash))
            .await?;
        info!("the operator has a new token");
        Ok(OperatorToken { token })
    }

    /// Sets the operator's password, in place of the last; whoever is logged in has to log in again.
    pub(crate) async fn set_password(&self, wish: PasswordRequest) -> Result<Done, OperatorError> {
        let wrong = |error: anyhow::Error| OperatorError::Wrong(error.to_string());
        let hash = tokio::task::spawn_blocking(move || password::hash(&wish.password)).await;
        let failed = |error: tokio::task::JoinError| StoreError::Failed(error.to_string());
        let hash = hash.map_err(failed)?.map_err(wrong)?;
        self.with_store(move |store| store.set_operator_password(&hash))
            .await?;
        self.sessions.end_all();
        info!("the operator has a new password");
        Ok(Done { done: true })
    }

    /// Says at the start how /monitor is opened, if nobody can yet.
    pub(crate) async fn say_what_is_missing(&self) -> Result<(), OperatorError> {
        if self.with_store(Store::operator_password).await?.is_none() {
            info!("/monitor is closed until a password is set: run `supervisor operator-password`");
        }
        Ok(())
    }

    /// Whether it is the operator's password; none if none was set.
    pub(crate) async fn check_password(&self, text: String) -> Result<Option<bool>, OperatorError> {
        // One at a time: each takes 19 MiB, and time. Whoever hangs up meanwhile does not end his turn.
        let turn = self.checking.clone().lock_owned().await;
        self.with_store(move |store| {
            let _turn = turn;
            let kept = store.operator_password()?;
            Ok::<_, StoreError>(kept.map(|kept| password::is_right(&kept, &text)))
        })
        .await
    }

    /// Who is logged in.
    pub(crate) const fn sessions(&self) -> &sessions::Sessions {
        &self.sessions
    }

    /// SHA-256 of the token that the operator's endpoints take.
    async fn operator_hash(&self) -> Result<Option<[u8; 32]>, OperatorError> {
        self.with_store(Store::operator_token).await
    }

    /// The disk is waited for elsewhere.
    async fn with_store<T, E>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
    ) -> Result<T, OperatorError>
    where
        T: Send + 'static,
        E: Send + 'static,
        OperatorError: From<E>,
    {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        let failed = |error: tokio::task::JoinError| StoreError::Failed(error.to_string());
        Ok(done.map_err(failed)??)
    }
}

impl Running {
    async fn stream(&self, name: &str) -> Option<StreamId> {
        let name = name.to_owned();
        self.ask(|answer| Event::StreamNamed(name, answer)).await?
    }

    async fn watching_by_invitation(&self) -> Option<BTreeMap<InvitationId, usize>> {
        self.ask(|answer| {
            Event::Look(Box::new(move |machine: &StreamManager| {
                let _ = answer.send(machine.watching_by_invitation()); // or nobody waits for it any more
            }))
        })
        .await
    }

    /// None when the supervisor is ending.
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Event) -> Option<T> {
        let (ask, answer) = oneshot::channel();
        self.inbox.send(question(ask)).await.ok()?;
        answer.await.ok()
    }
}

fn revoke(store: &Store, prefix: &str) -> Result<(KeyFingerprint, Enrolled), OperatorError> {
    let prefix = digits(prefix, "a fingerprint")?;
    let keys = store.peers()?.into_iter().map(|(key, _)| key);
    let key = the_one(keys, &prefix, "peer's fingerprint")?;
    let revoked = store.revoke(key, now_s())?;
    let revoked = revoked.ok_or_else(|| nothing_begins(&prefix, "peer's fingerprint"))?;
    Ok((key, revoked))
}

fn revoke_invitation(
    store: &Store,
    prefix: &str,
) -> Result<(InvitationId, Invited), OperatorError> {
    let prefix = digits(prefix, "an invitation's id")?;
    let ids = store.invitations()?.into_iter().map(|(id, _)| id);
    let id = the_one(ids, &prefix, "invitation's id")?;
    let revoked = store.revoke_invitation(id, now_s())?;
    let revoked = revoked.ok_or_else(|| nothing_begins(&prefix, "invitation's id"))?;
    Ok((id, revoked))
}

fn lift(store: &Store, prefix: &str) -> Result<(KeyFingerprint, Blocked), OperatorError> {
    let prefix = digits(prefix, "a fingerprint")?;
    let keys = store.blocks()?.into_iter().map(|(key, _)| key);
    let key = the_one(keys, &prefix, "blocked peer's fingerprint")?;
    let lifted = store.lift(key)?;
    let lifted = lifted.ok_or_else(|| nothing_begins(&prefix, "blocked peer's fingerprint"))?;
    Ok((key, lifted))
}

/// What a person typed for the beginning of a name that is long.
fn digits(prefix: &str, of: &str) -> Result<String, OperatorError> {
    let prefix = prefix.to_ascii_lowercase();
    if prefix.len() < SHORTEST_PREFIX || !prefix.bytes().all(|c| c.is_ascii_hexdigit()) {
        let words = format!(
            "{prefix:?} is not the beginning of {of}: at least {SHORTEST_PREFIX} of its hexadecimal digits"
        );
        return Err(OperatorError::Wrong(words));
    }
    Ok(prefix)
}

/// The only one whose name begins so.
fn the_one<T: Display>(
    all: impl Iterator<Item = T>,
    prefix: &str,
    what: &str,
) -> Result<T, OperatorError> {
    let mut found = all.filter(|name| name.to_string().starts_with(prefix));
    let first = found.next().ok_or_else(|| nothing_begins(prefix, what))?;
    match found.count() {
        0 => Ok(first),
        more => Err(OperatorError::Ambiguous(format!(
            "{} {what}s begin with {prefix}: say more digits",
            more + 1
        ))),
    }
}

fn nothing_begins(prefix: &str, what: &str) -> OperatorError {
    OperatorError::Unknown(format!("no {what} begins with {prefix}"))
}

/// Now, and the end of a life of so many seconds.
fn life(seconds: u64) -> Result<(u64, u64), OperatorError> {
    if !(1..=LONGEST_S).contains(&seconds) {
        return Err(OperatorError::Wrong(format!(
            "it must expire after between 1 second and {} days",
            LONGEST_S / 86_400
        )));
    }
    let now_s = now_s();
    Ok((now_s, now_s + seconds))
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// As it stands in an address.
fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::security::authority::Authority;
    use protocol::security::secret::Seed;

    use super::*;
    use crate::store::Role;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("it opens");
        for (first, second) in [(0xab, 0xc1), (0xab, 0xc2), (0x12, 0x34)] {
            let mut key = [0; 32];
            (key[0], key[1]) = (first, second);
            let key = KeyFingerprint::from_bytes(key);
            store.enrol(key, Role::Relay, "attic", 1).expect("enrolled");
        }
        (dir, store)
    }

    #[test]
    fn a_peer_is_revoked_by_digits_that_are_its_own() {
        let (_dir, store) = store();
        let (key, peer) = revoke(&store, "1234").expect("one");
        assert!(key.to_string().starts_with("1234") && peer.revoked_s.is_some());
        let (key, _) = revoke(&store, "ABC2").expect("one");
        assert!(key.to_string().starts_with("abc2"));
    }

    #[test]
    fn digits_of_nobody_or_too_few_revoke_nobody() {
        let (_dir, store) = store();
        assert!(matches!(
            revoke(&store, "ffff"),
            Err(OperatorError::Unknown(_))
        ));
        assert!(matches!(
            revoke(&store, "123"),
            Err(OperatorError::Wrong(_))
        ));
        assert!(matches!(
            revoke(&store, "attic"),
            Err(OperatorError::Wrong(_))
        ));
        let peers = store.peers().expect("read");
        assert!(peers.iter().all(|(_, peer)| peer.revoked_s.is_none()));
    }

    #[test]
    fn digits_of_two_revoke_neither() {
        let (_dir, store) = store();
        let mut key = [0; 32];
        (key[0], key[1], key[2]) = (0xab, 0xc1, 0x01);
        store
            .enrol(KeyFingerprint::from_bytes(key), Role::Relay, "cellar", 1)
            .expect("enrolled");
        assert!(matches!(
            revoke(&store, "abc1"),
            Err(OperatorError::Ambiguous(_))
        ));
        assert!(revoke(&store, "abc101").is_ok());
    }

    /// A supervisor whose clock began at that second, with any stream on the air.
    fn running(began_s: u64, stream: StreamId) -> Running {
        let (inbox, mut events) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(Event::StreamNamed(_, answer)) = events.recv().await {
                let _ = answer.send(Some(stream)); // or nobody waits for it any more
            }
        });
        Running {
            inbox,
            pages: "http://tv.lan".into(),
            clock: Clock::at(UNIX_EPOCH + Duration::from_secs(began_s)),
        }
    }

    #[tokio::test]
    async fn an_invitation_ends_by_the_clock_that_it_is_checked_by() {
        let (_dir, store) = store();
        let seed = Seed::from_bytes([7; 32]);
        let seed = store.authority_seed(seed).expect("kept");
        let public = Authority::new(&seed).public();
        // The first is a board that woke in 2001; its clock was set since. The second was ahead.
        for began_s in [1_000_000_000, now_s() + 1_000_000] {
            let stream = StreamId::from_bytes([9; 16]);
            let office = Office::new(store.clone(), Some(running(began_s, stream)));
            let wish = InvitationRequest {
                stream: "garden".into(),
                expires_in_s: 3600,
            };
            let made = office.expect("a seed").invite(wish).await.expect("made");
            let check = |after_s| {
                token::Invitation::check(&made.invitation, &public, began_s + after_s)
                    .map(|invitation| invitation.stream)
            };
            assert_eq!(check(3000), Ok(stream));
            assert!(check(7200).is_err(), "an hour is over");
            let left_s = made.not_after_s.saturating_sub(now_s());
            assert!((3000..=3600).contains(&left_s), "{left_s}: people's time");
            let kept = store.invitations().expect("read");
            let kept = kept.iter().find(|(id, _)| *id == made.id).expect("kept");
            assert!(kept.1.not_after_s >= began_s + 3600, "known until then");
        }
    }

    #[test]
    fn a_name_stands_in_an_address() {
        assert_eq!(
            percent_encoded("Garten & Küche"),
            "Garten%20%26%20K%C3%BCche"
        );
    }

    #[test]
    fn nothing_lives_for_ever_or_not_at_all() {
        assert!(life(0).is_err() && life(u64::MAX).is_err() && life(60).is_ok());
    }
}
