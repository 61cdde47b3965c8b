//! The streams' keys (the paper's set of keys, §III.C.2): made here, given to members sealed, and changed when
//! somebody is put out who knows one.

use crate::id::{InvitationId, KeyFingerprint, PeerId, StreamId};
use crate::node::key_contents;
use crate::security::base64::Base64;
use crate::security::boxes::{Sealing, purpose, seal};
use crate::security::grant::Grant;
use crate::security::secret::StreamKey;
use crate::signal::{Access, Refusal, ToPeer};

use super::admission::{TAKEN_BACK, TaskFor};
use super::{Output, StreamManager};

/// A stream's key, and its number in chunk headers.
#[derive(Debug, Clone)]
pub(super) struct NumberedKey {
    pub(super) id: u8,
    key: StreamKey,
}

impl StreamManager {
    /// The key with which the stream begins: that of before the start, else a new one.
    pub(super) fn first_key(
        &mut self,
        stream: StreamId,
        running: Option<u8>,
    ) -> Option<NumberedKey> {
        let kept = self.config.security.as_mut()?.keys.remove(&stream);
        match kept {
            Some((id, key)) => Some(NumberedKey { id, key }),
            None => self.new_key(stream, running),
        }
    }

    /// A key that none of the stream's members has under this number.
    fn new_key(&mut self, stream: StreamId, last: Option<u8>) -> Option<NumberedKey> {
        let security = self.config.security.as_mut()?;
        // 0 is no key.
        let id = last.map_or(1, |last| last % u8::MAX + 1);
        let key = StreamKey::from_bytes(*security.random());
        self.outbox.push(Output::KeepKey(stream, id, key.clone()));
        Some(NumberedKey { id, key })
    }

    /// The authority's word that the stream's broadcaster signs the epoch.
    pub(super) fn grant(&self, stream: StreamId, peer: PeerId, epoch: u32) -> Option<Base64> {
        let security = self.config.security.as_ref()?;
        let grant = Grant {
            stream,
            epoch,
            signer: self.peers.get(&peer)?.info.signing_key?,
            key_id: self.streams.get(&stream)?.key.as_ref()?.id,
        };
        Some(Base64(security.authority.grant(&grant)))
    }

    /// The stream's epoch as the supervisor issued it; 0 is before all.
    pub(super) fn epoch(&self, stream: StreamId) -> u32 {
        self.streams.get(&stream).map_or(0, |known| known.epoch)
    }

    /// Gives the stream's key to a member, sealed to the key it has proven.
    pub(super) fn give_key(&mut self, peer: PeerId, stream: StreamId) {
        let Some(NumberedKey { id: key_id, key }) = self
            .streams
            .get(&stream)
            .and_then(|known| known.key.clone())
        else {
            return;
        };
        let to = self
            .peers
            .get(&peer)
            .and_then(|known| known.info.public_key.clone());
        let Some((to, security)) = to.zip(self.config.security.as_mut()) else {
            return;
        };
        let contents = key_contents(stream, key_id, &key);
        match seal(
            &to,
            purpose::STREAM_KEY,
            &contents,
            &security.random::<32>(),
        ) {
            Ok(Sealing::Done(sealed)) => {
                let sealed = Base64(sealed);
                self.send(
                    peer,
                    ToPeer::StreamKey {
                        stream,
                        key_id,
                        epoch: self.epoch(stream),
                        sealed,
                    },
                );
            }
            Ok(Sealing::Task(task)) => {
                self.ask_for(
                    task,
                    TaskFor::StreamKey {
                        peer,
                        stream,
                        key_id,
                    },
                );
            }
            Err(_) => {
                self.refuse_peer(
                    peer,
                    Refusal::BadMessage,
                    "nothing can be sealed to this key",
                );
            }
        }
    }

    /// Another key from now on. Its broadcaster hears of it last: nobody is to lack it when it is used.
    pub(super) fn change_key(&mut self, stream: StreamId) {
        let last = self
            .streams
            .get(&stream)
            .and_then(|s| s.key.as_ref())
            .map(|key| key.id);
        let Some(next) = last.and_then(|last| self.new_key(stream, Some(last))) else {
            return;
        };
        let Some(known) = self.streams.get_mut(&stream) else {
            return;
        };
        known.key = Some(next);
        let broadcaster = known.broadcaster;
        let members: Vec<PeerId> = self
            .forest
            .graph(stream)
            .into_iter()
            .flat_map(|graph| graph.iter())
            .map(|(peer, _)| peer)
            .filter(|&peer| peer != broadcaster)
            .collect();
        for peer in members {
            self.give_key(peer, stream);
        }
        self.give_key(broadcaster, stream);
    }

    /// All streams have another key from now on.
    pub(super) fn change_keys(&mut self) {
        for stream in self.streams.keys().copied().collect::<Vec<_>>() {
            self.change_key(stream);
        }
    }

    /// Whether a receiver may watch, and by which invitation where it takes one: why not, in words.
    pub(super) fn check_invitation(
        &self,
        stream: StreamId,
        invitation: Option<&str>,
    ) -> Result<Option<InvitationId>, String> {
        let invited = self.streams.get(&stream).map(|known| known.access());
        let (Some(Access::Invited), Some(security)) = (invited, &self.config.security) else {
            return Ok(None);
        };
        let text = invitation.ok_or("this stream is for those who are invited: ask for a link")?;
        let seconds = u64::try_from(self.wall_us() / 1_000_000).unwrap_or(0);
        let authority = security.authority.public();
        let invitation = crate::security::token::Invitation::check(text, &authority, seconds)
            .map_err(|error| error.to_string())?;
        if invitation.stream != stream {
            return Err("the invitation is for another stream".into());
        }
        match security.revoked_invitations.contains(&invitation.id) {
            true => Err(TAKEN_BACK.into()),
            false => Ok(Some(invitation.id)),
        }
    }

    /// Whom the stream belongs to. The first who registers it, for good.
    pub(super) fn owner(&self, stream: StreamId) -> Option<KeyFingerprint> {
        self.config.security.as_ref()?.owners.get(&stream).copied()
    }

    pub(super) fn own(
        &mut self,
        stream: StreamId,
        key: KeyFingerprint,
        name: &str,
        access: Access,
    ) {
        if let Some(security) = &mut self.config.security {
            security.owners.insert(stream, key);
            let name = name.to_owned();
            self.outbox.push(Output::Own {
                stream,
                key,
                name,
                access,
            });
        }
    }
}
