//! Whatever bytes come to the port of the pages: made up along the API's own description, so that many get far, and
//! sent to the real program over real sockets. `PROPTEST_CASES` says how many (`make fuzz`).

mod town;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use protocol::signal::Component;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use town::{STREAM, Supervisor};

/// An answer is not waited for longer before it is said that nothing more is to come. Nothing is asserted about it.
const WAITING: Duration = Duration::from_millis(300);

/// What the API's description names: where one can ask, how, and what can be said there.
#[derive(Debug)]
struct Described {
    /// Method and path.
    endpoints: Vec<(String, String)>,
    /// Names of members of what is taken and given.
    members: Vec<String>,
}

impl Described {
    async fn ask(supervisor: &Supervisor) -> Self {
        let (_, body) = supervisor.get("/api/openapi.json").await;
        let all: Value = serde_json::from_str(&body).expect("JSON");
        let paths = all["paths"].as_object().expect("paths").iter();
        let endpoints = paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(|method| (method.to_uppercase(), path.clone()))
        });
        let schemas = all["components"]["schemas"].as_object().expect("schemas");
        let members = schemas
            .values()
            .filter_map(|schema| schema["properties"].as_object())
            .flat_map(|members| members.keys().cloned());
        Self {
            endpoints: endpoints.collect(),
            members: members.collect(),
        }
    }
}

/// A request before it is written down.
#[derive(Debug, Clone)]
struct Request {
    method: String,
    path: String,
    head: Vec<String>,
    body: Vec<u8>,
    /// Where something is written over, and with what.
    spoilt: Option<(Index, Vec<u8>)>,
    /// Told as the body's length in place of the true one.
    length: Option<String>,
    /// Whether the operator's token goes with it.
    by_operator: bool,
}

impl Request {
    fn bytes(&self, token: &str) -> Vec<u8> {
        let mut head = self.head.clone();
        let length = self.length.clone();
        let length = length.unwrap_or_else(|| self.body.len().to_string());
        head.push(format!("Content-Length: {length}"));
        if self.by_operator {
            head.push(format!("Authorization: Bearer {token}"));
        }
        let head = head.join("\r\n");
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{head}\r\n\r\n",
            self.method, self.path
        )
        .into_bytes();
        bytes.extend_from_slice(&self.body);
        if let Some((at, with)) = &self.spoilt {
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + with.len());
            bytes[at..end].copy_from_slice(&with[..end - at]);
        }
        bytes
    }
}

/// A value of any kind, with members of the description among others.
fn json(members: Vec<String>) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(vec![0_u64, 1, 2, 255, 256, 65_536, u64::MAX]).prop_map(Value::from),
        Just(Value::from(STREAM.to_string())),
        "own1-[A-Za-z0-9]{0,40}|[0-9a-f]{32}|[a-z-]{0,12}|.{0,40}".prop_map(Value::from),
        select(vec!["relay", "viewer", "tree", "beta", "kill", "uniform"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        let name = prop_oneof![4 => select(members.clone()), 1 => ".{0,12}"];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name, inner), 0..6).prop_map(|all| all.into_iter().collect::<Value>()),
        ]
    })
}

fn path(known: String) -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => Just(STREAM.to_string()),
        1 => "[0-9a-f]{4,32}|%[0-9a-f]{2}|\\.\\.|[a-z]{0,9}|[!-~]{0,30}",
    ];
    let filled = vec(part, 3).prop_map(move |parts| {
        let mut parts = parts.into_iter();
        let fill = |piece: &str| match piece.starts_with('{') {
            true => parts.next().expect("none has more than three"),
            false => piece.to_owned(),
        };
        known.split('/').map(fill).collect::<Vec<_>>().join("/")
    });
    let query = prop_oneof![4 => Just(String::new()), 1 => "\\?[a-z]{1,8}=[!-~]{0,20}"];
    (filled, query).prop_map(|(path, query)| path + &query)
}

fn request(described: Described) -> impl Strategy<Value = Request> {
    let line = prop_oneof![
        Just("Content-Type: application/json".to_owned()),
        "Cookie: (ownstream_operator=)?[!-~ ]{0,60}",
        "Authorization: (Bearer|Basic|) ?[!-~]{0,40}",
        "X-Forwarded-For: [0-9a-f:., ]{0,30}",
        "Transfer-Encoding: (chunked|gzip|identity)",
        "(Origin|Range|Expect|If-None-Match|Last-Event-ID): [!-~ ]{0,30}",
        Just("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AA==".into()),
        "[A-Za-z-]{1,20}: [!-~ ]{0,40}",
    ];
    let outside = prop_oneof![
        "(GET|HEAD|POST) /(watch|assets|peer|health|monitor|pkg|app)?/?[!-~]{0,30}",
        "[A-Z]{0,9} [!-~]{0,40}"
    ];
    let outside = outside.prop_map(|line| {
        let (method, path) = line.split_once(' ').expect("made with one");
        (method.to_owned(), path.to_owned())
    });
    let known = select(described.endpoints);
    let known = known.prop_flat_map(|(method, known)| (Just(method), path(known)));
    let place = prop_oneof![4 => known, 1 => outside];
    let said = json(described.members).prop_map(|value| value.to_string().into_bytes());
    let body = prop_oneof![4 => said, 1 => vec(any::<u8>(), 0..300)];
    let spoilt = proptest::option::weighted(0.2, (any::<Index>(), vec(any::<u8>(), 1..8)));
    let length = proptest::option::weighted(0.1, "-?[0-9]{1,24}|[a-z]{0,3}");
    let all = (place, vec(line, 0..4), body, spoilt, length, any::<bool>());
    all.prop_map(
        |((method, path), head, body, spoilt, length, by_operator)| Request {
            method,
            path,
            head,
            body,
            spoilt,
            length,
            by_operator,
        },
    )
}

/// The status of what is answered; none if the supervisor hangs up. What goes on for ever, as the events, is heard until
/// its head is there.
async fn status(supervisor: &Supervisor, request: &[u8]) -> Option<u16> {
    let mut stream = supervisor.visit().await;
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    while answer.len() < 12 {
        match tokio::time::timeout(WAITING, stream.read_buf(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return None,
            Ok(Ok(_)) => {}
            Err(_) => stream.shutdown().await.ok()?, // that was all: it need not wait for more
        }
    }
    std::str::from_utf8(&answer[9..12]).ok()?.parse().ok()
}

#[test]
fn whatever_is_asked_over_http_is_answered_or_hung_up_on_and_everybody_else_is_served() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (supervisor, token, described) = runtime.block_on(async {
        let supervisor = Supervisor::start().await;
        let said = supervisor.home.command("operator-token").await;
        let described = Described::ask(&supervisor).await;
        (supervisor, said.out.trim().to_owned(), described)
    });
    assert!(described.endpoints.len() > 20 && described.members.len() > 50);
    let requests = request(described);
    let mut viewer = runtime.block_on(supervisor.peer(2, Component::Receiver));
    let mut broadcaster = runtime.block_on(supervisor.broadcaster(1));
    let mut answered = BTreeMap::new();
    let mut runner = TestRunner::deterministic();
    for number in 0..runner.config().cases {
        let request = requests.new_tree(&mut runner).expect("no filter").current();
        let status = runtime.block_on(async {
            let status = status(&supervisor, &request.bytes(&token)).await;
            if number % 50 == 0 {
                viewer.is_alive().await;
                broadcaster.is_alive().await;
            }
            status
        });
        let ours = status.is_some_and(|status| status >= 500);
        assert!(!ours, "{status:?} to {request:?}");
        *answered.entry(status).or_insert(0) += 1;
    }
    runtime.block_on(viewer.is_alive());
    runtime.block_on(broadcaster.is_alive());
    for status in [200, 400, 401, 404] {
        assert!(answered.contains_key(&Some(status)), "{answered:?}");
    }
}
