//! What the Stream Manager asks for and does not do itself: private keys are used here, and the store is asked
//! who may come in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{error, info};
use protocol::id::{InvitationId, KeyFingerprint, StreamId};
use protocol::security::auth::Examination;
use protocol::security::authority::Authority;
use protocol::security::boxes::KeyTask;
use protocol::security::local::{EllipticKey, LocalKey, RsaKey, rsa_seal};
use protocol::security::secret::{Seed, StreamKey};
use protocol::security::suite::Suite;
use protocol::signal::{Access, Component, Refusal};
use protocol::stream_manager::{MAX_PUT_OUT, Petition, Security};
use zeroize::Zeroizing;

use crate::config::SecurityConfig;
use crate::store::{self, Enrolled, Role, Store, StoreError, TokenError};

/// The handshake keys, and the store.
pub(crate) struct Clerk {
    store: Store,
    keys: Arc<Vec<LocalKey>>,
}

impl Clerk {
    /// With handshake keys of this start alone; and what the Stream Manager has to know.
    pub(crate) fn new(
        store: Store,
        config: &SecurityConfig,
        software: &str,
        term: u64,
    ) -> anyhow::Result<(Self, Security)> {
        let seed = store.authority_seed(Seed::from_bytes(rand::random()))?;
        let authority = Authority::new(&seed);
        let keys = handshake_keys(config)?;
        let endorsed = keys
            .iter()
            .map(|key| authority.endorse(key.public_key(), term));
        let examination = Examination {
            software: software.to_owned(),
            keys: endorsed.collect(),
        };
        let streams = store.streams()?;
        let owners = streams
            .iter()
            .map(|(id, stream)| (*id, stream.owner))
            .collect();
        let security = Security {
            examination: Arc::new(examination),
            authority,
            certificate_lifetime: Duration::from_secs(config.certificate_lifetime_s.into()),
            owners,
            keys: store.stream_keys()?,
            revoked_invitations: revoked_invitations(&store)?,
            blocked: store.blocked_keys()?,
            put_out: lately_put_out(&store, config.certificate_lifetime_s)?,
            random: Box::new(|bytes| rand::Rng::fill_bytes(&mut rand::rng(), bytes)),
        };
        let keys = Arc::new(keys);
        Ok((Self { store, keys }, security))
    }

    /// Does what takes a private key, or RSA. That takes milliseconds, so it is not for the task that runs the
    /// machine; [`is_quick`] says what is.
    pub(crate) fn worker(
        &self,
    ) -> impl Fn(&KeyTask) -> Option<Zeroizing<Vec<u8>>> + Send + 'static {
        let keys = self.keys.clone();
        move |task| {
            let mut rng = rand::rng();
            if let KeyTask::RsaSeal { .. } = task {
                return rsa_seal(task, &mut rng).map(Zeroizing::new);
            }
            keys.iter().find_map(|key| key.answer(task, &mut rng))
        }
    }

    /// Whether a peer that has proven its key may come in as what it wants to be.
    pub(crate) fn admit(&self, petition: &Petition) -> Result<(), (Refusal, String)> {
        match self.look(petition) {
            Ok(verdict) => verdict,
            Err(error) => {
                error!("the store cannot be read: {error}");
                Err((
                    Refusal::NotEnrolled,
                    "the supervisor's store cannot be read".into(),
                ))
            }
        }
    }

    fn look(&self, petition: &Petition) -> Result<Result<(), (Refusal, String)>, StoreError> {
        let known = self.store.peer(petition.key)?;
        let revoked = known.as_ref().is_some_and(|peer| peer.revoked_s.is_some());
        Ok(match (petition.role, known) {
            // No token lets a viewer in.
            (role, _) if revoked && (petition.token.is_none() || role == Component::Receiver) => {
                Err((Refusal::Revoked, "this peer's key was revoked".into()))
            }
            (Component::Receiver, _) => Ok(()),
            (role, Some(Enrolled { role: enrolled, .. }))
                if !revoked && Component::from(enrolled) == role =>
            {
                Ok(())
            }
            _ => return self.enrol(petition),
        })
    }

    /// A service that is not known yet: its token decides.
    fn enrol(&self, petition: &Petition) -> Result<Result<(), (Refusal, String)>, StoreError> {
        let role = match petition.role {
            Component::Broadcaster => Role::Broadcaster,
            Component::Relay => Role::Relay,
            Component::Receiver => return Ok(Ok(())),
        };
        let Some(token) = &petition.token else {
            let words = format!(
                "this {role} is not enrolled: make a token with `supervisor token create --role {role}`, \
                 and put it into its configuration as join_token"
            );
            return Ok(Err((Refusal::NotEnrolled, words)));
        };
        let name = petition.name.as_deref().unwrap_or("");
        let refused = |words: String| Ok(Err((Refusal::NotEnrolled, words)));
        let enrolled = self
            .store
            .consume_token(token, petition.key, role, name, now_s());
        match enrolled {
            Ok(()) => {
                info!(key:% = petition.key; "enrolled as a {role}");
                Ok(Ok(()))
            }
            Err(TokenError::Store(error)) => Err(error),
            Err(error @ TokenError::Revoked) => Ok(Err((Refusal::Revoked, error.to_string()))),
            Err(error) => refused(format!(
                "{error}; make another: `supervisor token create --role {role}`"
            )),
        }
    }

    /// Remembers whose the stream is.
    pub(crate) fn own(&self, id: StreamId, owner: KeyFingerprint, name: String, access: Access) {
        let stream = store::Stream {
            owner,
            name,
            last_epoch: 0,
            access: match access {
                Access::Public => store::Access::Public,
                Access::Invited => store::Access::Invited,
            },
        };
        if let Err(error) = self.store.save_stream(id, &stream) {
            error!(stream:% = id; "whose this stream is cannot be kept: {error}");
        }
    }

    /// Who was put out stays out after a restart too, if its key is one that was let in by name; another may have any number
    /// of keys.
    pub(crate) fn put_out(&self, key: KeyFingerprint) {
        match self.store.revoke(key, now_s()) {
            Ok(Some(_)) => info!(key:% = key; "put out for good: revoked"),
            Ok(None) => info!(key:% = key; "put out"),
            Err(error) => error!(key:% = key; "that it was put out cannot be kept: {error}"),
        }
    }

    /// Remembers that no epoch up to this one is issued again.
    pub(crate) fn keep_epoch(&self, id: StreamId, epoch: u32) {
        if let Err(error) = self.store.save_epoch(id, epoch) {
            error!(stream:% = id; "how far this stream's epochs have come cannot be kept: {error}");
        }
    }

    /// Remembers the stream's key, so that it is the same one after a restart.
    pub(crate) fn keep_key(&self, id: StreamId, key_id: u8, key: &StreamKey) {
        if let Err(error) = self.store.save_stream_key(id, key_id, key) {
            error!(stream:% = id; "the stream's key cannot be kept: {error}");
        }
    }
}

/// Keys that were revoked or blocked since a certificate for them may have been made that is still good; the latest of them.
fn lately_put_out(store: &Store, lifetime_s: u32) -> Result<BTreeSet<KeyFingerprint>, StoreError> {
    let since_s = now_s().saturating_sub(lifetime_s.into());
    let revoked = store.peers()?.into_iter();
    let revoked = revoked.filter_map(|(key, peer)| Some((peer.revoked_s?, key)));
    let blocked = store.blocks()?.into_iter();
    let all = revoked.chain(blocked.map(|(key, blocked)| (blocked.since_s, key)));
    let mut lately: Vec<_> = all.filter(|&(at_s, _)| at_s >= since_s).collect();
    lately.sort_unstable_by(|a, b| b.cmp(a));
    lately.truncate(MAX_PUT_OUT);
    Ok(lately.into_iter().map(|(_, key)| key).collect())
}

/// Those that would still let somebody in.
fn revoked_invitations(store: &Store) -> Result<BTreeSet<InvitationId>, StoreError> {
    let now_s = now_s();
    let all = store.invitations()?.into_iter();
    let revoked = all.filter(|(_, kept)| kept.revoked_s.is_some() && kept.not_after_s > now_s);
    Ok(revoked.map(|(id, _)| id).collect())
}

/// What takes so little time that it is done at once: an agreement, 50 microseconds.
pub(crate) const fn is_quick(task: &KeyTask) -> bool {
    matches!(task, KeyTask::Agree { .. })
}

fn handshake_keys(config: &SecurityConfig) -> anyhow::Result<Vec<LocalKey>> {
    let make = |suite: &Suite| match suite {
        Suite::Elliptic => Ok(LocalKey::Elliptic(EllipticKey::new(Seed::from_bytes(
            rand::random(),
        )))),
        Suite::Rsa => {
            let key = RsaKey::generate(&mut rand::rng(), config.rsa_bits)?;
            Ok(LocalKey::Rsa(Box::new(key)))
        }
    };
    config.suites.iter().map(make).collect()
}

fn now_s() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.unwrap_or_default().as_secs()
}
