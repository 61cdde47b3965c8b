//! Checks what comes of a stream: passes on what has a right digest at once, and to the player what the
//! broadcaster's signature covers.
//!
//! The rules that keep an honest peer out of trouble:
//! - An unsigned chunk with a right digest is passed on at once. A member may have forged it; nobody can know
//!   yet, and nobody is blamed for it.
//! - A signed chunk is passed on only when its signature has been found right. So an honest peer, if it checks
//!   all groups, never passes on a signature that does not fit, and whoever does is rightly blamed.
//! - A second version of a chunk is passed on as well: below, too, it may be the right one.
//! - A signature that does not fit what is there may still come to fit. That is doubt at once (get it
//!   elsewhere), and blame after [`PATIENCE`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::group::{Group, is_signature, stands_alone};
use super::proven::Proven;
use super::{GroupId, digest_fits, is_checked, must_be_signed};
use crate::chunk::{Chunk, Position};
use crate::id::{LinkId, SignerKey};
use crate::media::Track;
use crate::security::secret::StreamKey;
use crate::time::Time;

/// How long a complete group whose signature does not fit may take to come to fit before somebody is blamed.
/// Longer than SCTP's first repetition of a lost message (at least 1 s, RFC 9260 §16): the right version of a
/// forged chunk may have been lost behind it on an honest parent's link.
pub const PATIENCE: Duration = Duration::from_millis(1_500);
/// Stream keys kept, the last ones. Guess: chunks of the one before are still under way, and two evictions in
/// one breath happen.
const MAX_KEYS: usize = 4;
/// Unproven groups kept; the longest there go first. Guess: 8 s of everything at 60 groups/s.
const MAX_OPEN: usize = 512;
/// Bytes of unproven groups kept: as much as the window has.
const MAX_HELD: usize = 16 << 20;

/// What is to be done about a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it, and pass it on. If there is another with its name, this one replaces it.
    Forward(Chunk),
    /// All chunks of a group, in order, as the broadcaster made them: play them. All have been forwarded.
    Proven {
        /// The group.
        group: GroupId,
        /// All of it.
        chunks: Vec<Chunk>,
    },
    /// The group is complete, and its signature fits no combination of what came. Nobody is to blame yet, but
    /// waiting may not help: have it from another neighbour.
    Doubt(GroupId),
    /// Something is forged or altered, and was not passed on.
    Bad {
        /// The link to be dropped. None: more than one link took part, and it cannot be told which is bad.
        from: Option<LinkId>,
        /// What is not to be kept, or passed on to those who come later.
        group: GroupId,
        /// What is wrong.
        why: Flaw,
    },
    /// It cannot be checked before its key is here. Hold it, and give it again then.
    NeedKey {
        /// Who brought it.
        from: LinkId,
        /// It.
        chunk: Chunk,
    },
}

/// What is wrong with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// Key 0: no digest at all.
    #[error("the chunk has no digest")]
    Unsealed,
    /// Signed where it should not be, or not where it should.
    #[error("the chunk is not signed as its place in its group demands")]
    Misplaced,
    /// Altered, or made by somebody without the stream key.
    #[error("the chunk's digest is wrong")]
    Digest,
    /// A member of the stream forged something.
    #[error("the group's signature does not fit it")]
    Signature,
}

/// Checks one stream's chunks, whichever links they come by.
#[derive(Debug)]
pub struct Verifier {
    signer: SignerKey,
    threshold: f64,
    seed: u64,
    keys: VecDeque<(u8, StreamKey)>,
    proven: Proven,
    open: BTreeMap<GroupId, Group>,
    /// The open groups in the order in which they came to be.
    ages: BTreeMap<u64, GroupId>,
    next_age: u64,
    held: usize,
    deadlines: BTreeSet<(Time, GroupId)>,
}

impl Verifier {
    /// `signer` is what the stream's grant names. `threshold` is the share of groups that are checked (the
    /// paper's, §III.C.2): what is not checked is passed on but never proven. `seed`: random, so that nobody
    /// can tell which they are.
    pub const fn new(signer: SignerKey, threshold: f64, seed: u64) -> Self {
        Self {
            signer,
            threshold,
            seed,
            keys: VecDeque::new(),
            proven: Proven::new(),
            open: BTreeMap::new(),
            ages: BTreeMap::new(),
            next_age: 0,
            held: 0,
            deadlines: BTreeSet::new(),
        }
    }

    /// Takes a stream key; of the earlier ones the last three stay.
    pub fn add_key(&mut self, key_id: u8, key: StreamKey) {
        self.keys.retain(|(id, _)| *id != key_id);
        self.keys.push_back((key_id, key));
        if self.keys.len() > MAX_KEYS {
            self.keys.pop_front();
        }
    }

    /// Takes one chunk that `from` brought.
    pub fn take(&mut self, now: Time, from: LinkId, chunk: Chunk, out: &mut Vec<Verdict>) {
        let header = *chunk.header();
        let group = GroupId::of(&header);
        if !is_checked(self.seed, self.threshold, group) {
            return out.push(Verdict::Forward(chunk));
        }
        if self.proven.is_past(group) || self.open.get(&group).is_some_and(|g| g.holds(&chunk)) {
            return; // a duplicate: told apart before anything is computed
        }
        let blame = |why| Verdict::Bad {
            from: Some(from),
            group,
            why,
        };
        if header.key_id == 0 {
            return out.push(blame(Flaw::Unsealed));
        }
        if chunk.is_signed() != must_be_signed(&header) {
            return out.push(blame(Flaw::Misplaced));
        }
        let Some((_, key)) = self.keys.iter().find(|(id, _)| *id == header.key_id) else {
            return out.push(Verdict::NeedKey { from, chunk });
        };
        if !digest_fits(key, &chunk) {
            return out.push(blame(Flaw::Digest));
        }
        if !stands_alone(&header) {
            self.join(now, group, from, chunk, out);
        } else if is_signature(&self.signer, &chunk, chunk.digest()) {
            self.prove(group, vec![chunk], out);
        } else {
            // Nothing that is still to come could make it fit.
            out.push(blame(Flaw::Signature));
        }
    }

    /// One more chunk of a group of several.
    fn join(&mut self, now: Time, id: GroupId, from: LinkId, chunk: Chunk, out: &mut Vec<Verdict>) {
        if !chunk.is_signed() {
            out.push(Verdict::Forward(chunk.clone()));
        }
        let group = self.open.entry(id).or_insert_with(|| {
            self.next_age += 1;
            self.ages.insert(self.next_age, id);
            Group::new(self.next_age)
        });
        let before = group.cost;
        let arrival = group.add(from, chunk);
        self.held = self.held + group.cost - before;
        match group.prove(id, &self.signer, arrival) {
            Ok(chunks) => self.prove(id, chunks, out),
            Err(complete) => {
                if complete && group.deadline.is_none() {
                    let deadline = now + PATIENCE;
                    group.deadline = Some(deadline);
                    self.deadlines.insert((deadline, id));
                    out.push(Verdict::Doubt(id));
                }
                self.make_room();
            }
        }
    }

    fn prove(&mut self, id: GroupId, chunks: Vec<Chunk>, out: &mut Vec<Verdict>) {
        let Some(signed) = chunks.last().cloned() else {
            return;
        };
        if let Some(group) = self.forget(id) {
            let others = group.signed().into_iter().filter(|h| h.chunk != signed);
            out.extend(others.map(|held| Verdict::Bad {
                from: Some(held.from),
                group: id,
                why: Flaw::Signature,
            }));
        }
        self.proven.add(id);
        out.push(Verdict::Forward(signed));
        out.push(Verdict::Proven { group: id, chunks });
    }

    fn forget(&mut self, id: GroupId) -> Option<Group> {
        let group = self.open.remove(&id)?;
        self.ages.remove(&group.age);
        self.held -= group.cost;
        if let Some(deadline) = group.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some(group)
    }

    /// The groups that have waited longest go: by arrival, not by number, so that forged numbers far ahead or
    /// behind push out nothing but what is as old as they are.
    fn make_room(&mut self) {
        while self.open.len() > MAX_OPEN || self.held > MAX_HELD {
            let Some((_, oldest)) = self.ages.first_key_value() else {
                return;
            };
            let oldest = *oldest;
            self.forget(oldest);
        }
    }

    /// Forgets what is unproven of the frames from `from` up to but not including `to`, so that all of it can
    /// come anew: the caller has thrown it away, with the parent it had it from.
    pub fn taint(&mut self, track: Track, rendition: u8, from: Position, to: Position) {
        let touched = |id: &&GroupId| {
            (id.track, id.rendition) == (track, rendition) && id.from() < to && id.to() > from
        };
        let tainted: Vec<GroupId> = self.open.keys().filter(touched).copied().collect();
        for id in tainted {
            self.forget(id);
        }
    }

    /// Blames whoever has had long enough.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Verdict>) {
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > now {
                return;
            }
            self.deadlines.pop_first();
            let from = self.open.get(&id).and_then(Group::only_link);
            out.push(Verdict::Bad {
                from,
                group: id,
                why: Flaw::Signature,
            });
        }
    }

    /// When to [`tick`](Self::tick).
    pub fn next_wakeup(&self) -> Time {
        self.deadlines
            .first()
            .map_or(Time::NEVER, |&(deadline, _)| deadline)
    }
}
