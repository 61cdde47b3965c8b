//! Whose datagram is it? The rows by which one UDP port serves all connections.
//!
//! A connectivity check names the local half of its user name, and a response names the
//! transaction it answers; everything else (DTLS) is known only by the address it comes from. An
//! address is learned from a check whose integrity proves that its sender was told our password,
//! and belongs to one connection as long as that lives. A second connection between the same two
//! ports therefore cannot use this pair of ports: its checks over it are dropped, and it goes over
//! a socket of its own instead (see `virtual_socket`), which the other side learns like any other
//! address.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use super::stun::{Class, Message, Transaction};
use super::youth::Youth;

/// Datagrams that wait for one address of one connection. One SCTP receive window (1 MiB) in
/// datagrams of 1.2 kB; more than that, SCTP itself sends again.
const INBOX_LIMIT: usize = 1024;
/// Largest datagram passed on, bytes: what the library's receive buffer holds. Ours are 1.2 kB.
const MAX_DATAGRAM: usize = 2000;
/// Addresses that one connection may own. Guess: a few interfaces on the other side times a few
/// here; the oldest gives way.
const MAX_ADDRESSES: usize = 16;
/// Unanswered requests remembered for each connection. Guess: checks go every 50 ms to a handful
/// of addresses, and an answer is due within a second.
const MAX_TRANSACTIONS: usize = 64;

/// A datagram and where it came from.
pub(super) type Datagram = (SocketAddr, Vec<u8>);

/// The datagrams that wait for one local address of one connection.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<(VecDeque<Datagram>, Option<Waker>)>);

impl Inbox {
    fn push(&self, from: SocketAddr, bytes: &[u8]) {
        let mut inbox = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inbox.0.len() < INBOX_LIMIT {
            inbox.0.push_back((from, bytes.to_vec()));
        }
        let waker = inbox.1.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next datagram; when there is none, `waker` is called once there is one.
    pub(super) fn pop(&self, waker: &Waker) -> Option<Datagram> {
        let mut inbox = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = inbox.0.pop_front();
        if next.is_none() && !inbox.1.as_ref().is_some_and(|known| known.will_wake(waker)) {
            inbox.1 = Some(waker.clone());
        }
        next
    }

    /// Makes the reader look again.
    pub(super) fn wake(&self) {
        let waker = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What the shared port knows of one connection.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) ufrag: String,
    pub(super) password: String,
    pub(super) youth: Youth,
    /// One for each local address that the library uses.
    inboxes: Mutex<Vec<(IpAddr, Arc<Inbox>)>>,
}

impl Member {
    pub(super) fn new(ufrag: String, password: String) -> Arc<Self> {
        Arc::new(Self {
            ufrag,
            password,
            youth: Youth::new(),
            inboxes: Mutex::default(),
        })
    }

    /// Makes the inbox of one more local address.
    pub(super) fn add_inbox(&self, local: IpAddr) -> Arc<Inbox> {
        let inbox = Arc::<Inbox>::default();
        let mut inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        inboxes.push((local, Arc::clone(&inbox)));
        inbox
    }

    /// Puts a datagram where it belongs: into the inbox of the address it was sent to, else (an
    /// address that is newer than the connection) of any of the same family.
    pub(super) fn deliver(&self, to: Option<IpAddr>, from: SocketAddr, bytes: &[u8]) {
        if bytes.is_empty() || bytes.len() > MAX_DATAGRAM {
            return;
        }
        self.youth.stir();
        let inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let exact = inboxes.iter().find(|(local, _)| Some(*local) == to);
        let family = || {
            inboxes
                .iter()
                .find(|(local, _)| local.is_ipv4() == from.is_ipv4())
        };
        if let Some((_, inbox)) = exact.or_else(family) {
            inbox.push(from, bytes);
        }
    }
}

/// One connection's rows, oldest first, so that they can be bounded and removed.
#[derive(Debug)]
struct Row {
    member: Arc<Member>,
    addresses: VecDeque<SocketAddr>,
    transactions: VecDeque<Transaction>,
}

#[derive(Debug, Default)]
struct Rows {
    by_ufrag: HashMap<String, Row>,
    by_address: HashMap<SocketAddr, Arc<Member>>,
    by_transaction: HashMap<Transaction, Arc<Member>>,
}

/// The rows of all connections of one shared port.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<Rows>);

impl Table {
    pub(super) fn insert(&self, member: &Arc<Member>) {
        let row = Row {
            member: Arc::clone(member),
            addresses: VecDeque::new(),
            transactions: VecDeque::new(),
        };
        self.rows().by_ufrag.insert(member.ufrag.clone(), row);
    }

    pub(super) fn remove(&self, member: &Member) {
        let mut rows = self.rows();
        if let Some(row) = rows.by_ufrag.remove(&member.ufrag) {
            for address in row.addresses {
                rows.by_address.remove(&address);
            }
            for transaction in row.transactions {
                rows.by_transaction.remove(&transaction);
            }
        }
    }

    /// How many rows there are of any kind.
    pub(super) fn len(&self) -> usize {
        let rows = self.rows();
        rows.by_ufrag.len() + rows.by_address.len() + rows.by_transaction.len()
    }

    /// Whose datagram this is, if it is anybody's.
    pub(super) fn route(&self, from: SocketAddr, datagram: &[u8]) -> Option<Arc<Member>> {
        match Message::parse(datagram) {
            Some(message) if message.class() == Class::Request => self.route_check(from, message),
            Some(message) if message.class() == Class::Response => {
                let mut rows = self.rows();
                let transaction = message.transaction();
                // By address when the transaction was forgotten: late, but still an answer.
                let member = rows.by_transaction.remove(&transaction);
                member.or_else(|| rows.by_address.get(&from).cloned())
            }
            _ => self.rows().by_address.get(&from).cloned(),
        }
    }

    /// A connectivity check goes where its user name says, and teaches its sender's address, if it
    /// is proven and the address is not another connection's.
    fn route_check(&self, from: SocketAddr, message: Message<'_>) -> Option<Arc<Member>> {
        let mut rows = self.rows();
        let row = rows.by_ufrag.get(message.local_ufrag()?)?;
        let member = Arc::clone(&row.member);
        match rows.by_address.get(&from) {
            Some(owner) if Arc::ptr_eq(owner, &member) => return Some(member),
            Some(_) => return None,
            None => {}
        }
        if !message.integrity_holds(member.password.as_bytes()) {
            return None;
        }
        rows.learn(from, &member);
        Some(member)
    }

    /// Notes a request that `member` sends, so that its response finds the way back.
    pub(super) fn expect_response(&self, member: &Arc<Member>, transaction: Transaction) {
        let mut rows = self.rows();
        let Some(row) = rows.by_ufrag.get_mut(&member.ufrag) else {
            return;
        };
        row.transactions.push_back(transaction);
        let forgotten = (row.transactions.len() > MAX_TRANSACTIONS)
            .then(|| row.transactions.pop_front())
            .flatten();
        if let Some(forgotten) = forgotten {
            rows.by_transaction.remove(&forgotten);
        }
        rows.by_transaction.insert(transaction, Arc::clone(member));
    }

    /// Whether `address`, as seen from the shared port, belongs to another connection.
    pub(super) fn is_anothers(&self, member: &Arc<Member>, address: SocketAddr) -> bool {
        self.rows()
            .by_address
            .get(&address)
            .is_some_and(|owner| !Arc::ptr_eq(owner, member))
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn learn(&mut self, address: SocketAddr, member: &Arc<Member>) {
        let Some(row) = self.by_ufrag.get_mut(&member.ufrag) else {
            return;
        };
        row.addresses.push_back(address);
        let oldest = (row.addresses.len() > MAX_ADDRESSES)
            .then(|| row.addresses.pop_front())
            .flatten();
        if let Some(oldest) = oldest {
            self.by_address.remove(&oldest);
        }
        self.by_address.insert(address, Arc::clone(member));
    }
}

#[cfg(test)]
mod tests {
    use super::super::stun::tests::check;
    use super::*;

    /// What goes over an address once it is learned: anything but STUN.
    const DTLS: [u8; 4] = [22, 254, 253, 0];

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn join(table: &Table, ufrag: &str) -> Arc<Member> {
        let member = Member::new(ufrag.to_owned(), format!("{ufrag}'s password"));
        table.insert(&member);
        member
    }

    fn proven(member: &Member) -> Vec<u8> {
        check(&member.ufrag, &member.password)
    }

    #[test]
    fn only_a_check_that_proves_the_password_teaches_its_address() {
        let table = Table::default();
        let member = join(&table, "abcd");
        assert!(table.route(address(1), &check("abcd", "a guess")).is_none());
        assert!(
            table
                .route(address(1), &check("nobody", "a guess"))
                .is_none()
        );
        assert!(table.route(address(1), &DTLS).is_none());
        assert!(table.route(address(1), &proven(&member)).is_some());
        assert!(
            table
                .route(address(1), &DTLS)
                .is_some_and(|found| Arc::ptr_eq(&found, &member))
        );
    }

    #[test]
    fn an_address_belongs_to_one_connection_until_that_is_gone() {
        let table = Table::default();
        let (first, second) = (join(&table, "first"), join(&table, "second"));
        assert!(table.route(address(1), &proven(&first)).is_some());
        assert!(table.route(address(1), &proven(&second)).is_none());
        assert!(table.is_anothers(&second, address(1)));
        table.remove(&first);
        assert!(table.route(address(1), &proven(&second)).is_some());
        table.remove(&second);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn an_answer_finds_who_asked_wherever_it_comes_from() {
        let table = Table::default();
        let member = join(&table, "abcd");
        let mut answer = check("abcd", "does not matter");
        let transaction = Message::parse(&answer).expect("STUN").transaction();
        answer[0] = 1; // a success response
        assert!(table.route(address(1), &answer).is_none());
        table.expect_response(&member, transaction);
        assert!(table.route(address(1), &answer).is_some());
    }

    #[test]
    fn one_connection_fills_no_table() {
        let table = Table::default();
        let member = join(&table, "abcd");
        for i in 0..1000_u16 {
            table.route(address(i), &proven(&member));
            let mut transaction = [0; 12];
            transaction[..2].copy_from_slice(&i.to_be_bytes());
            table.expect_response(&member, transaction);
        }
        assert_eq!(table.len(), 1 + MAX_ADDRESSES + MAX_TRANSACTIONS);
        table.remove(&member);
        assert_eq!(table.len(), 0);
    }
}
