use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use protocol::id::{KeyFingerprint, StreamId, TokenDigest};
use protocol::security::secret::Seed;
use tempfile::TempDir;

use super::streams::StreamError;
use super::*;

const NOW_S: u64 = 1_800_000_000;
const SECRET: TokenDigest = TokenDigest::from_bytes([1; 32]);

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory for the test")
}

fn open(dir: &TempDir) -> Store {
    Store::open(dir.path()).expect("it opens")
}

const fn digest(n: u8) -> TokenDigest {
    TokenDigest::from_bytes([n; 32])
}

const fn key(n: u8) -> KeyFingerprint {
    KeyFingerprint::from_bytes([n; 32])
}

const fn token() -> JoinToken {
    JoinToken {
        role: Role::Relay,
        made_s: NOW_S,
        expires_s: NOW_S + 100,
        used_by: None,
    }
}

fn with_token(dir: &TempDir) -> Store {
    let store = open(dir);
    store.save_token(&SECRET, &token()).expect("kept");
    store
}

fn use_it(store: &Store, who: KeyFingerprint, now_s: u64) -> Result<(), TokenError> {
    store.consume_token(&SECRET, who, Role::Relay, "attic", now_s)
}

#[test]
fn a_token_lets_one_key_in_and_that_one_again() {
    let dir = dir();
    let store = with_token(&dir);
    use_it(&store, key(1), NOW_S).expect("in");
    assert!(matches!(
        use_it(&store, key(2), NOW_S),
        Err(TokenError::Used)
    ));
    // It lost the answer, and asks again when the token would have expired.
    assert!(use_it(&store, key(1), NOW_S + 1000).is_ok());
    let peer = store.peer(key(1)).expect("read").expect("enrolled");
    assert_eq!((peer.name.as_str(), peer.enrolled_s), ("attic", NOW_S));
    assert_eq!(store.peer(key(2)).expect("read"), None);
}

#[test]
fn a_token_that_is_shown_for_another_role_is_still_good_for_its_own() {
    let dir = dir();
    let store = with_token(&dir);
    let wrong = store.consume_token(&SECRET, key(1), Role::Broadcaster, "attic", NOW_S);
    let words = wrong.expect_err("it is a relay's").to_string();
    assert_eq!(
        words,
        "the join token is for a relay, not for a broadcaster"
    );
    assert_eq!(store.peers().expect("read"), []);
    use_it(&store, key(2), NOW_S).expect("in");
}

#[test]
fn a_token_of_nobody_and_an_expired_one_let_nobody_in() {
    let dir = dir();
    let store = with_token(&dir);
    let unknown = store.consume_token(&digest(9), key(1), Role::Relay, "attic", NOW_S);
    assert!(matches!(unknown, Err(TokenError::Unknown)));
    let late = use_it(&store, key(1), NOW_S + 100);
    assert!(matches!(late, Err(TokenError::Expired)));
    assert_eq!(store.peers().expect("read"), []);
}

#[test]
fn a_revoked_key_needs_a_token_made_since() {
    let dir = dir();
    let store = with_token(&dir);
    use_it(&store, key(1), NOW_S).expect("in");
    let revoked = store.revoke(key(1), NOW_S + 10).expect("written");
    assert_eq!(revoked.map(|peer| peer.revoked_s), Some(Some(NOW_S + 10)));
    assert!(matches!(
        use_it(&store, key(1), NOW_S + 11),
        Err(TokenError::Revoked)
    ));
    let enrolled = store.enrol(key(1), Role::Relay, "attic", NOW_S + 11);
    assert!(matches!(enrolled, Err(EnrolError::Revoked)));
    let newer = JoinToken {
        made_s: NOW_S + 20,
        ..token()
    };
    store.save_token(&digest(2), &newer).expect("kept");
    let again = store.consume_token(&digest(2), key(1), Role::Relay, "attic", NOW_S + 21);
    again.expect("in");
    let peer = store.peer(key(1)).expect("read").expect("enrolled");
    assert_eq!((peer.enrolled_s, peer.revoked_s), (NOW_S + 21, None));
}

#[test]
fn revoking_twice_keeps_the_first_time_and_revoking_nobody_does_nothing() {
    let dir = dir();
    let store = open(&dir);
    store
        .enrol(key(1), Role::Broadcaster, "garden", NOW_S)
        .expect("enrolled");
    store.revoke(key(1), NOW_S + 1).expect("written");
    let again = store.revoke(key(1), NOW_S + 2).expect("written");
    assert_eq!(again.and_then(|peer| peer.revoked_s), Some(NOW_S + 1));
    assert_eq!(store.revoke(key(2), NOW_S).expect("read"), None);
}

#[test]
fn tokens_that_ran_out_long_ago_are_forgotten() {
    let dir = dir();
    let store = with_token(&dir);
    let later = |made_s| JoinToken { made_s, ..token() };
    store
        .save_token(&digest(2), &later(NOW_S + 86_400))
        .expect("kept");
    assert_eq!(store.tokens().expect("read").len(), 2);
    store
        .save_token(&digest(3), &later(NOW_S + 8 * 86_400))
        .expect("kept");
    let left: Vec<_> = store.tokens().expect("read").into_iter().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn a_stream_keeps_its_owner_and_its_epochs_never_go_back() {
    let dir = dir();
    let store = open(&dir);
    let id = StreamId::from_bytes([7; 16]);
    let stream = |owner, last_epoch| Stream {
        owner,
        name: "garden".into(),
        last_epoch,
        access: Access::Invited,
    };
    store.save_stream(id, &stream(key(1), 5)).expect("kept");
    store.save_stream(id, &stream(key(1), 3)).expect("kept");
    let foreign = store.save_stream(id, &stream(key(2), 9));
    assert!(matches!(foreign, Err(StreamError::OwnedByAnother)));
    assert_eq!(store.stream(id).expect("read"), Some(stream(key(1), 5)));
    store.save_epoch(id, 8).expect("kept");
    store.save_epoch(id, 7).expect("kept");
    assert_eq!(store.stream(id).expect("read"), Some(stream(key(1), 8)));
    assert_eq!(store.streams().expect("read").len(), 1);
}

#[test]
fn each_start_has_a_higher_term_even_where_the_clock_has_gone_back() {
    let dir = dir();
    let mut terms = Vec::new();
    for now_s in [2_000, 3_000, 2_500, 0, 4_000] {
        terms.push(open(&dir).next_term(now_s).expect("kept"));
    }
    assert_eq!(terms, [2_000, 3_000, 3_001, 3_002, 4_000]);
}

/// The seed that is kept when this one is offered.
fn seed(store: &Store, offered: u8) -> [u8; 32] {
    let fresh = Seed::from_bytes([offered; 32]);
    let kept = store.authority_seed(fresh).expect("kept");
    *kept.as_bytes()
}

#[test]
fn secrets_are_made_once_and_stay() {
    let dir = dir();
    {
        let store = open(&dir);
        assert_eq!(seed(&store, 1), [1; 32]);
        assert_eq!(store.operator_token().expect("read"), None);
        store.set_operator_token([5; 32]).expect("kept");
    }
    let store = open(&dir);
    assert_eq!(seed(&store, 2), [1; 32]);
    assert_eq!(store.operator_token().expect("read"), Some([5; 32]));
}

#[test]
fn nobody_else_may_look_at_it() {
    let above = dir();
    let state = above.path().join("deep/state");
    let _store = Store::open(&state).expect("it opens");
    let mode = |path: &Path| {
        let about = std::fs::metadata(path).expect("there");
        about.permissions().mode() & 0o777
    };
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join(FILE)), 0o600);
}

#[test]
fn two_processes_cannot_have_it_and_the_second_is_told() {
    let dir = dir();
    let _store = open(&dir);
    let Err(error) = Store::open(dir.path()) else {
        panic!("it was opened twice");
    };
    assert!(error.to_string().contains("in use"), "{error}");
}

fn refusal(dir: &TempDir) -> String {
    let Err(error) = Store::open(dir.path()) else {
        panic!("it was opened");
    };
    error.to_string()
}

#[test]
fn a_foreign_or_damaged_file_is_named() {
    let dir = dir();
    let path = dir.path().join(FILE);
    std::fs::write(&path, "a text that somebody put here\n".repeat(400)).expect("written");
    let words = refusal(&dir);
    assert!(words.contains("supervisor.redb is damaged"), "{words}");
    std::fs::remove_file(&path).expect("it was there");

    drop(with_token(&dir));
    let whole = std::fs::read(&path).expect("there");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    assert!(refusal(&dir).contains("supervisor.redb is damaged"));
}

#[test]
fn a_byte_that_fell_over_is_noticed_or_does_not_matter() {
    let dir = dir();
    let path = dir.path().join(FILE);
    drop(with_token(&dir));
    let whole = std::fs::read(&path).expect("there");
    for at in (0..whole.len()).step_by(whole.len() / 200) {
        let mut bent = whole.clone();
        bent[at] ^= 0x55;
        std::fs::write(&path, bent).expect("written");
        match Store::open(dir.path()) {
            Ok(store) => assert_eq!(store.tokens().expect("read"), [(SECRET, token())]),
            Err(error) => assert!(error.to_string().contains("supervisor.redb"), "{error}"),
        }
    }
}

/// Not a test by itself: what the next one starts, and kills. Says each number once it is kept.
#[test]
#[ignore = "started by another test"]
fn writes_until_it_is_killed() {
    let dir = std::env::var("STORE_DIR").expect("started by another test");
    let store = Store::open(Path::new(&dir)).expect("it opens");
    let mut out = io::stdout();
    for n in store.peers().expect("read").len() as u64.. {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        store
            .enrol(KeyFingerprint::from_bytes(bytes), Role::Relay, "attic", n)
            .expect("enrolled");
        writeln!(out, "kept {n}").expect("somebody reads");
        out.flush().expect("somebody reads");
    }
}

fn writer(dir: &TempDir) -> Child {
    let own = std::env::current_exe().expect("this program");
    Command::new(own)
        .args(["store::tests::writes_until_it_is_killed"])
        .args(["--exact", "--ignored", "--nocapture"])
        .env("STORE_DIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts")
}

#[test]
fn a_writer_that_is_killed_twenty_times_has_lost_nothing_it_said() {
    let dir = dir();
    let mut said = 0;
    for round in 0..20 {
        let mut child = writer(&dir);
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let kept = lines.map_while(Result::ok);
        let numbers = kept.filter_map(|line| line.strip_prefix("kept ")?.parse::<u64>().ok());
        let mut killed = false;
        for (count, number) in numbers.enumerate() {
            said = number + 1;
            if count >= round % 7 && !killed {
                child.kill().expect("it runs"); // SIGKILL; what it said until then is read to the end
                killed = true;
            }
        }
        child.wait().expect("it ended");
        let peers = open(&dir).peers().expect("read").len() as u64;
        assert!(peers >= said, "{said} were said to be kept, {peers} are");
        said = peers;
    }
    assert!(said >= 20);
}
