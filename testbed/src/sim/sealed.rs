//! The security of a simulated run that has it: everybody's keys and secrets, all out of the run's seed, and what the broadcaster
//! seals with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::chunk::{Chunk, Header};
use protocol::id::{KeyFingerprint, StreamId};
use protocol::media::Descriptor;
use protocol::node;
use protocol::security::auth::Examination;
use protocol::security::authority::Authority;
use protocol::security::boxes::KeyTask;
use protocol::security::grant::SignedDescriptor;
use protocol::security::local::EllipticKey;
use protocol::security::otdp::{Sealer, signer};
use protocol::security::secret::{HandshakeSeed, Seed, StreamKey};
use protocol::signal::Component;
use protocol::stream_manager;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use zeroize::Zeroizing;

/// How long a certificate is good: as the supervisor has it, and longer than any run that is sealed.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(3_600);
/// The share of groups that relays check; viewers check all.
const RELAYS_CHECK: f64 = 0.5;

/// Whose secret it is.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Authority,
    Handshakes,
    Signer,
    Peer(u64),
}

pub(super) struct Sealed {
    seed: u64,
    handshakes: u64,
    /// What a supervisor's store keeps.
    owners: BTreeMap<StreamId, KeyFingerprint>,
    keys: BTreeMap<StreamId, (u8, StreamKey)>,
    /// What the broadcaster was given last.
    given: Option<(u8, StreamKey)>,
    sealer: Option<Sealer>,
}

impl Sealed {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            seed,
            handshakes: 0,
            owners: BTreeMap::new(),
            keys: BTreeMap::new(),
            given: None,
            sealer: None,
        }
    }

    fn secret(&self, owner: Owner) -> Seed {
        let (what, name) = match owner {
            Owner::Authority => (1, 0),
            Owner::Handshakes => (2, 0),
            Owner::Signer => (3, 0),
            Owner::Peer(name) => (4, name),
        };
        Seed::from_bytes(bytes(&[self.seed, what, name]))
    }

    fn authority(&self) -> Authority {
        Authority::new(&self.secret(Owner::Authority))
    }

    fn handshake_key(&self) -> EllipticKey {
        EllipticKey::new(self.secret(Owner::Handshakes))
    }

    fn key(&self, peer: u64) -> EllipticKey {
        EllipticKey::new(self.secret(Owner::Peer(peer)))
    }

    /// What a supervisor has that starts in this term.
    pub(super) fn of_supervisor(&self, term: u64) -> stream_manager::Security {
        let endorsed = self
            .authority()
            .endorse(self.handshake_key().public_key(), term);
        let mut random = StdRng::seed_from_u64(self.seed ^ term);
        stream_manager::Security {
            examination: Arc::new(Examination {
                software: "simulated".into(),
                keys: vec![endorsed],
            }),
            authority: self.authority(),
            certificate_lifetime: CERTIFICATE_LIFETIME,
            owners: self.owners.clone(),
            keys: self.keys.clone(),
            revoked_invitations: BTreeSet::new(),
            blocked: BTreeSet::new(),
            put_out: BTreeSet::new(),
            random: Box::new(move |bytes| random.fill(bytes)),
        }
    }

    /// What a peer has.
    pub(super) fn of_peer(&self, peer: u64, component: Component) -> node::Security {
        let is_broadcaster = component == Component::Broadcaster;
        node::Security {
            keys: vec![self.key(peer).public_key()],
            signing_key: is_broadcaster.then(|| signer(&self.secret(Owner::Signer))),
            token: None,
            pin: Some(self.authority().fingerprint()),
            threshold: match component {
                Component::Relay => RELAYS_CHECK,
                _ => 1.0,
            },
        }
    }

    /// What the next handshake draws its secrets from.
    pub(super) fn handshake(&mut self) -> HandshakeSeed {
        self.handshakes += 1;
        HandshakeSeed::from_bytes(bytes(&[self.seed, 5, self.handshakes]))
    }

    /// Does what a peer asks to be done with its key.
    pub(super) fn answer_peer(&self, peer: u64, task: &KeyTask) -> Option<Zeroizing<Vec<u8>>> {
        self.key(peer).answer(task)
    }

    /// Does what the supervisor asks to be done with its own.
    pub(super) fn answer_supervisor(&self, task: &KeyTask) -> Option<Zeroizing<Vec<u8>>> {
        self.handshake_key().answer(task)
    }

    /// Keeps what the supervisor's store is told.
    pub(super) fn keep(&mut self, output: &stream_manager::Output) {
        match output {
            stream_manager::Output::KeepKey(stream, number, key) => {
                self.keys.insert(*stream, (*number, key.clone()));
            }
            stream_manager::Output::Own { stream, key, .. } => {
                self.owners.insert(*stream, *key);
            }
            _ => {}
        }
    }

    /// The broadcaster is given a key, to seal with from now on.
    pub(super) fn take_key(&mut self, number: u8, key: StreamKey) {
        if let Some(sealer) = &mut self.sealer {
            sealer.set_key(number, key.clone());
        }
        self.given = Some((number, key));
    }

    /// The broadcaster's encoder starts: its epoch's descriptor, signed. None: it has no key yet.
    pub(super) fn begin(
        &mut self,
        descriptor: Descriptor,
        grant: Bytes,
    ) -> Option<SignedDescriptor> {
        let (key_id, key) = self.given.clone()?;
        let seed = self.secret(Owner::Signer);
        self.sealer = Some(Sealer::new(&seed, key_id, key));
        let descriptor = Descriptor {
            key_id,
            ..descriptor
        };
        Some(SignedDescriptor::new(&seed, descriptor, grant))
    }

    /// One frame's chunks.
    pub(super) fn seal(&mut self, header: Header, container: &[u8]) -> Vec<Chunk> {
        let sealer = self.sealer.as_mut();
        sealer.map_or_else(Vec::new, |sealer| sealer.seal(header, container))
    }
}

/// The numbers, one after the other; the rest is zero.
fn bytes(numbers: &[u64; 3]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    bytes
}
