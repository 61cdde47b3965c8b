//! A group that is not proven yet: what has come of it, in up to two versions of each chunk, and the search
//! for the one combination that its signature covers.
//!
//! Two versions, because a parent passes on at once what it cannot know to be forged by a member above it,
//! and passes on the right one when it has got that from elsewhere; on an unordered channel either may
//! arrive first.

use std::collections::{BTreeMap, BTreeSet};

use super::{GroupId, group_len, must_be_signed};
use crate::chunk::{Chunk, DIGEST_LEN, Header};
use crate::id::{LinkId, SignerKey};
use crate::security::signed::{self, Domain};
use crate::time::Time;

/// Versions of one chunk that are kept, the newest ones. The right one comes last from whoever had a forged
/// one first, and two parents have at most this many between them.
const VERSIONS: usize = 2;
/// Combinations that one arriving chunk may have tried. Guess: 16 signatures take a browser 4 ms.
const MAX_TRIES: usize = 16;
/// What a chunk costs beside its message, bytes: the maps around it. Estimated.
const CHUNK_COST: usize = 256;

/// A chunk and who brought it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) from: LinkId,
    pub(super) chunk: Chunk,
    /// Number of its arrival.
    arrival: u64,
}

/// (sequence, parts, part): two chunks that disagree about a frame's parts are not versions of each other.
type Place = (u64, u16, u16);

const fn place(header: &Header) -> Place {
    (header.position.sequence, header.parts, header.part)
}

/// Which version of a chunk is tried: the one with the highest key.
#[derive(Clone, Copy)]
enum Preference {
    From(LinkId),
    Newest,
    Oldest,
}

impl Preference {
    fn rank(self, held: &Held) -> (bool, u64) {
        match self {
            Self::From(link) => (held.from == link, held.arrival),
            Self::Newest => (false, held.arrival),
            Self::Oldest => (false, u64::MAX - held.arrival),
        }
    }
}

/// All that is held of one group.
#[derive(Debug)]
pub(super) struct Group {
    places: BTreeMap<Place, Vec<Held>>,
    /// When it came to be, among all groups.
    pub(super) age: u64,
    arrivals: u64,
    /// Bytes held.
    pub(super) cost: usize,
    /// It was seen complete, and its signature did not fit: until when it may still come to fit. Never again
    /// once that has been reported.
    pub(super) deadline: Option<Time>,
}

impl Group {
    pub(super) fn new(age: u64) -> Self {
        Self {
            places: BTreeMap::new(),
            age,
            arrivals: 0,
            cost: 0,
            deadline: None,
        }
    }

    /// Whether this very chunk is there.
    pub(super) fn holds(&self, chunk: &Chunk) -> bool {
        self.places
            .get(&place(chunk.header()))
            .is_some_and(|versions| versions.iter().any(|held| held.chunk == *chunk))
    }

    /// Takes a chunk whose digest is right, and gives the number of its arrival.
    pub(super) fn add(&mut self, from: LinkId, chunk: Chunk) -> u64 {
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.cost += chunk.message().len() + CHUNK_COST;
        let versions = self.places.entry(place(chunk.header())).or_default();
        if versions.len() == VERSIONS {
            let dropped = versions.remove(0);
            self.cost -= dropped.chunk.message().len() + CHUNK_COST;
        }
        versions.push(Held {
            from,
            chunk,
            arrival,
        });
        arrival
    }

    /// The signed chunks, newest first.
    pub(super) fn signed(&self) -> Vec<&Held> {
        let mut signed: Vec<&Held> = self
            .places
            .values()
            .flatten()
            .filter(|held| must_be_signed(held.chunk.header()))
            .collect();
        signed.sort_by_key(|held| u64::MAX - held.arrival);
        signed
    }

    /// The link that brought everything there is, if one did: it alone can be at fault.
    pub(super) fn only_link(&self) -> Option<LinkId> {
        let mut links = self.places.values().flatten().map(|held| held.from);
        let first = links.next()?;
        links.all(|link| link == first).then_some(first)
    }

    /// Looks for a combination with the chunk that has just arrived (those without it have been tried) that a
    /// signature covers. `Err(true)`: the group is complete, and none fits.
    pub(super) fn prove(
        &self,
        id: GroupId,
        signer: &SignerKey,
        arrival: u64,
    ) -> Result<Vec<Chunk>, bool> {
        let mut seen = BTreeSet::new();
        let mut complete = false;
        for signed in self.signed() {
            for combination in self.combinations(id, signed) {
                complete = true;
                let numbers: Vec<u64> = combination.iter().map(|held| held.arrival).collect();
                if !numbers.contains(&arrival) || !seen.insert(numbers) {
                    continue;
                }
                if covers(signer, signed, &combination) {
                    return Ok(combination.iter().map(|held| held.chunk.clone()).collect());
                }
                if seen.len() == MAX_TRIES {
                    return Err(true);
                }
            }
        }
        Err(complete)
    }

    /// What may belong to a signed chunk, the likeliest first: all from the link that brought the signature,
    /// all from another, all the newest, all the oldest, and the first of these with one chunk exchanged.
    fn combinations<'a>(&'a self, id: GroupId, signed: &'a Held) -> Vec<Vec<&'a Held>> {
        let preferences = [Preference::From(signed.from)]
            .into_iter()
            .chain(self.other_links(signed.from).map(Preference::From))
            .chain([Preference::Newest, Preference::Oldest]);
        let mut all: Vec<Vec<&Held>> = preferences
            .filter_map(|preference| self.pick(id, signed, preference))
            .collect();
        if let Some(base) = all.first().cloned() {
            all.extend(self.with_one_exchanged(&base));
        }
        all
    }

    fn other_links(&self, but: LinkId) -> impl Iterator<Item = LinkId> {
        let links: BTreeSet<LinkId> = self.places.values().flatten().map(|h| h.from).collect();
        links.into_iter().filter(move |&link| link != but)
    }

    fn with_one_exchanged<'a>(&'a self, base: &[&'a Held]) -> Vec<Vec<&'a Held>> {
        let exchange = |(at, held): (usize, &&Held)| {
            let versions = self.places.get(&place(held.chunk.header()))?;
            let other = versions.iter().find(|v| v.arrival != held.arrival)?;
            let mut exchanged = base.to_vec();
            exchanged[at] = other;
            Some(exchanged)
        };
        // The last one is the signed chunk itself.
        let members = base.split_last().map_or(&[][..], |(_, members)| members);
        members.iter().enumerate().filter_map(exchange).collect()
    }

    /// One version of every chunk of the group, in order; nothing if one is missing.
    fn pick<'a>(
        &'a self,
        id: GroupId,
        signed: &'a Held,
        preference: Preference,
    ) -> Option<Vec<&'a Held>> {
        let end = signed.chunk.header();
        let mut picked = Vec::new();
        for sequence in id.from().sequence..end.position.sequence {
            picked.extend(self.pick_frame(sequence, preference)?);
        }
        picked.extend(self.pick_parts(end.position.sequence, end.parts, end.part, preference)?);
        picked.push(signed);
        Some(picked)
    }

    /// A whole frame, by the preferred one of the chunks that say how many parts it has.
    fn pick_frame(&self, sequence: u64, preference: Preference) -> Option<Vec<&Held>> {
        let of_frame = self
            .places
            .range((sequence, 0, 0)..=(sequence, u16::MAX, u16::MAX));
        let counts: BTreeSet<u16> = of_frame.map(|((_, parts, _), _)| *parts).collect();
        counts
            .into_iter()
            .filter_map(|parts| self.pick_parts(sequence, parts, parts, preference))
            .max_by_key(|picked| picked.iter().map(|held| preference.rank(held)).max())
    }

    /// The first `count` parts of a frame of `parts`.
    fn pick_parts(
        &self,
        sequence: u64,
        parts: u16,
        count: u16,
        preference: Preference,
    ) -> Option<Vec<&Held>> {
        let there = self
            .places
            .range((sequence, parts, 0)..(sequence, parts, count));
        let picked: Vec<&Held> = there
            .filter_map(|(_, versions)| versions.iter().max_by_key(|held| preference.rank(held)))
            .collect();
        (picked.len() == usize::from(count)).then_some(picked)
    }
}

fn covers(signer: &SignerKey, signed: &Held, combination: &[&Held]) -> bool {
    let mut digests = Vec::with_capacity(combination.len() * DIGEST_LEN);
    for held in combination {
        digests.extend(held.chunk.digest());
    }
    is_signature(signer, &signed.chunk, &digests)
}

/// Whether the chunk's signature is the broadcaster's over these digests.
pub(super) fn is_signature(signer: &SignerKey, chunk: &Chunk, digests: &[u8]) -> bool {
    chunk
        .signature()
        .is_some_and(|signature| signed::verify(signer, Domain::Chunks, digests, signature))
}

/// Whether the chunk is a group by itself: a frame of video in one part.
pub(super) const fn stands_alone(header: &Header) -> bool {
    group_len(header.track) == 1 && header.parts == 1
}
