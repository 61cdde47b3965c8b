//! The API of the monitor, with the real program and real peers.

mod town;

use protocol::signal::{Component, FromPeer, Report, ToPeer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use town::{JOIN, STREAM, Supervisor, ask, id, offer, patiently};

const PASSWORD: &str = "correct horse";

/// An operator who is logged in.
struct Operator<'a> {
    supervisor: &'a Supervisor,
    cookie: String,
}

/// Status and content of an answer.
async fn call(
    supervisor: &Supervisor,
    (method, path): (&str, &str),
    more: &str,
    body: &Value,
) -> (u16, Value) {
    let more = format!("Content-Type: application/json\r\n{more}");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let (head, content) = ask(supervisor.visit().await, method, path, &more, &body).await;
    let status = head[9..12].parse().expect("a status");
    (status, serde_json::from_str(&content).unwrap_or_default())
}

async fn set_password(supervisor: &Supervisor, password: &str) {
    let config = supervisor.home.config();
    let config = config.to_str().expect("UTF-8");
    let mut command = supervisor
        .home
        .program(&["operator-password", "--config", config]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin
        .write_all(format!("{password}\n").as_bytes())
        .await
        .expect("it reads");
    drop(stdin);
    assert!(patiently(child.wait()).await.expect("it ends").success());
}

async fn log_in(supervisor: &Supervisor, password: &str) -> (String, String) {
    let body = json!({ "password": password }).to_string();
    let more = "Content-Type: application/json\r\n";
    ask(supervisor.visit().await, "POST", "/api/login", more, &body).await
}

impl<'a> Operator<'a> {
    async fn of(supervisor: &'a Supervisor) -> Self {
        set_password(supervisor, PASSWORD).await;
        let (head, _) = log_in(supervisor, PASSWORD).await;
        let lower = head.to_ascii_lowercase();
        let at = lower.find("set-cookie: ").expect("a cookie") + 12;
        let cookie = head[at..].split(';').next().expect("a pair").to_owned();
        Self { supervisor, cookie }
    }

    fn cookie(&self) -> String {
        format!("Cookie: {}\r\n", self.cookie)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, content) =
            call(self.supervisor, ("GET", path), &self.cookie(), &Value::Null).await;
        assert_eq!(status, 200, "{path}: {content}");
        content
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        call(self.supervisor, ("POST", path), &self.cookie(), &body).await
    }
}

fn at_stream(action: &str) -> String {
    format!("/api/streams/{STREAM}/{action}")
}

/// The places of those who watch, as the tree has them: peer and parent.
fn places(tree: &Value) -> Vec<(String, Value)> {
    let members = tree["members"].as_array().expect("a list");
    let place = |m: &Value| {
        (
            m["peer"].as_str().expect("an id").to_owned(),
            m["parent"].clone(),
        )
    };
    members.iter().map(place).collect()
}

#[tokio::test]
async fn nobody_logs_in_before_a_password_is_set_and_then_with_it_alone() {
    let supervisor = Supervisor::start().await;
    supervisor.log.after("supervisor operator-password").await;
    let (head, body) = log_in(&supervisor, PASSWORD).await;
    assert!(
        head.contains("409") && body.contains("supervisor operator-password"),
        "{head}{body}"
    );

    set_password(&supervisor, PASSWORD).await;
    let (head, _) = log_in(&supervisor, "wrong password").await;
    assert!(head.contains("401"), "{head}");
    let (head, _) = log_in(&supervisor, PASSWORD).await;
    assert!(head.contains("200"), "{head}");
    assert!(head.contains("HttpOnly; SameSite=Strict"), "{head}");
}

#[tokio::test]
async fn whoever_guesses_passwords_has_to_wait() {
    let supervisor = Supervisor::start().await;
    set_password(&supervisor, PASSWORD).await;
    for _ in 0..10 {
        assert!(log_in(&supervisor, "a wrong guess").await.0.contains("401"));
    }
    let (head, body) = log_in(&supervisor, PASSWORD).await;
    assert!(
        head.contains("429") && body.contains("wait a minute"),
        "{head}{body}"
    );
}

#[tokio::test]
async fn guesses_that_come_at_once_are_counted_like_any_others() {
    let supervisor = Supervisor::start().await;
    set_password(&supervisor, PASSWORD).await;
    let guesses = (0..40).map(|_| log_in(&supervisor, "a wrong guess"));
    let answers = futures_util::future::join_all(guesses).await;
    let with = |status: &str| {
        let heads = answers.iter().map(|(head, _)| head);
        heads.filter(|head| head.starts_with(status)).count()
    };
    assert_eq!((with("HTTP/1.1 401"), with("HTTP/1.1 429")), (10, 30));
}

#[tokio::test]
async fn behind_a_proxy_with_tls_the_cookie_is_for_https_alone() {
    let supervisor = Supervisor::start_with("public_url = \"https://tv.example.org\"").await;
    set_password(&supervisor, PASSWORD).await;
    let (head, _) = log_in(&supervisor, PASSWORD).await;
    assert!(head.contains("SameSite=Strict; Secure"), "{head}");
}

#[tokio::test]
async fn a_session_ends_when_it_is_told_to_and_when_the_password_is_another() {
    let supervisor = Supervisor::start().await;
    let operator = Operator::of(&supervisor).await;
    operator.get("/api/peers").await;
    assert_eq!(operator.post("/api/logout", json!({})).await.0, 200);
    let gone = call(
        &supervisor,
        ("GET", "/api/peers"),
        &operator.cookie(),
        &Value::Null,
    )
    .await;
    assert_eq!(gone.0, 401);

    let operator = Operator::of(&supervisor).await;
    set_password(&supervisor, "another password").await;
    let gone = call(
        &supervisor,
        ("GET", "/api/peers"),
        &operator.cookie(),
        &Value::Null,
    )
    .await;
    assert_eq!(gone.0, 401);
}

#[tokio::test]
async fn a_page_of_another_site_does_nothing_in_the_operators_name() {
    let supervisor = Supervisor::start().await;
    let _broadcaster = supervisor.broadcaster(1).await;
    let operator = Operator::of(&supervisor).await;
    let path = at_stream("end");
    for foreign in [
        "Origin: http://evil.example\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let more = operator.cookie() + foreign;
        let ended = call(
            &supervisor,
            ("POST", &path),
            &more,
            &json!({ "name": "garden" }),
        )
        .await;
        assert_eq!(ended.0, 403, "{foreign}");
    }
    let more = operator.cookie() + "Origin: http://test\r\nSec-Fetch-Site: same-origin\r\n";
    let ended = call(
        &supervisor,
        ("POST", &path),
        &more,
        &json!({ "name": "garden" }),
    )
    .await;
    assert_eq!(ended.0, 200, "{}", ended.1);
}

#[tokio::test]
async fn every_path_of_the_description_is_there_and_for_the_operator_alone() {
    let supervisor = Supervisor::start().await;
    let operator = Operator::of(&supervisor).await;
    let description = operator.get("/api/openapi.json").await;
    for (path, methods) in description["paths"].as_object().expect("an object") {
        let concrete = path
            .replace("{stream}", &STREAM.to_string())
            .replace("{peer}", &id(9).to_string())
            .replace("{fingerprint}", "abcd")
            .replace("{id}", "abcd");
        for (method, about) in methods.as_object().expect("an object") {
            let method = method.to_ascii_uppercase();
            let endpoint = (method.as_str(), concrete.as_str());
            if about["security"] == json!([]) {
                let open = ["login", "logout", "openapi.json", "session"];
                assert!(
                    open.iter().any(|name| path == &format!("/api/{name}")),
                    "{path}"
                );
                continue;
            }
            let (status, said) = call(&supervisor, endpoint, "", &json!({})).await;
            assert_eq!(status, 401, "{endpoint:?}");
            assert!(said["error"].is_string(), "{endpoint:?}: {said}");
            if path == "/api/events" {
                continue; // it never ends
            }
            let (status, said) = call(&supervisor, endpoint, &operator.cookie(), &json!({})).await;
            let words = said["error"].as_str().unwrap_or_default();
            assert!(
                status != 405 && !words.contains("no such endpoint"),
                "{endpoint:?}: {status} {said}"
            );
        }
    }
    let (status, said) = call(
        &supervisor,
        ("GET", "/api/coffee"),
        &operator.cookie(),
        &Value::Null,
    )
    .await;
    assert_eq!(status, 404);
    assert!(
        said["error"]
            .as_str()
            .expect("words")
            .contains("openapi.json"),
        "{said}"
    );
}

/// That an answer has just the members that its schema has, those that may be left out apart.
fn agrees(schemas: &Value, name: &str, answer: &Value) {
    let properties = schemas[name]["properties"]
        .as_object()
        .expect("an object's schema");
    for (member, value) in answer.as_object().expect("an object") {
        let schema = properties
            .get(member)
            .unwrap_or_else(|| panic!("{name} has no {member}"));
        let reference = schema
            .get("$ref")
            .or_else(|| schema["anyOf"][0].get("$ref"));
        let below = reference
            .and_then(Value::as_str)
            .and_then(|to| to.rsplit('/').next());
        if let Some(below) =
            below.filter(|below| value.is_object() && schemas[below]["properties"].is_object())
        {
            agrees(schemas, below, value);
        }
    }
    let optional = ["arity", "latency_ms", "hold_ms", "bytes_up"];
    for member in properties
        .keys()
        .filter(|member| !optional.contains(&member.as_str()))
    {
        assert!(
            answer.get(member).is_some(),
            "{name} lacks {member}: {answer}"
        );
    }
}

#[tokio::test]
async fn answers_are_as_the_description_says() {
    let supervisor = Supervisor::start().await;
    let _broadcaster = supervisor.broadcaster(1).await;
    let mut viewer = supervisor.peer(30, Component::Receiver).await;
    viewer.says(&JOIN).await;
    let (stream, report) = (STREAM, Report::default());
    viewer.says(&FromPeer::Report { stream, report }).await;
    viewer.is_alive().await;
    let operator = Operator::of(&supervisor).await;
    let schemas = operator.get("/api/openapi.json").await["components"]["schemas"].clone();
    let streams = operator.get("/api/streams").await;
    agrees(&schemas, "Streams", &streams);
    agrees(&schemas, "Stream", &streams["streams"][0]);
    agrees(&schemas, "Session", &operator.get("/api/session").await);
    let tree = operator.get(&at_stream("tree")).await;
    agrees(&schemas, "Tree", &tree);
    agrees(&schemas, "Member", &tree["members"][1]);
    agrees(
        &schemas,
        "History",
        &operator.get(&at_stream("history")).await,
    );
    let peers = operator.get("/api/peers").await;
    agrees(&schemas, "Present", &peers["peers"][0]);
}

#[tokio::test]
async fn the_tree_shows_everybody_with_place_and_figures() {
    let supervisor = Supervisor::start().await;
    let _broadcaster = supervisor.broadcaster(1).await;
    let mut viewer = supervisor.peer(30, Component::Receiver).await;
    viewer.says(&JOIN).await;
    let report = Report {
        latency_ms: Some(412),
        stalls: 3,
        stalled_ms: 800,
        ..Report::default()
    };
    let stream = STREAM;
    viewer.says(&FromPeer::Report { stream, report }).await;
    viewer.is_alive().await;
    let operator = Operator::of(&supervisor).await;
    let tree = operator.get(&at_stream("tree")).await;
    let broadcaster = id(1).to_string();
    assert_eq!(
        places(&tree),
        [
            (broadcaster.clone(), Value::Null),
            (id(30).to_string(), json!(broadcaster)),
        ]
    );
    assert_eq!(tree["members"][1]["report"]["latency_ms"], 412);
    assert_eq!(tree["stream"]["totals"]["stalls"], 3);
    assert_eq!(tree["stream"]["viewers"], 1);
    let missing = call(
        &supervisor,
        ("GET", "/api/streams/00/tree"),
        &operator.cookie(),
        &Value::Null,
    )
    .await;
    assert_eq!(missing.0, 400, "{}", missing.1);
}

#[tokio::test]
async fn what_happens_is_told_to_whoever_watches() {
    let supervisor = Supervisor::start().await;
    let _broadcaster = supervisor.broadcaster(1).await;
    let operator = Operator::of(&supervisor).await;
    let mut stream = supervisor.visit().await;
    let request = format!(
        "GET /api/events?stream={STREAM} HTTP/1.1\r\nHost: test\r\n{}\r\n",
        operator.cookie()
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut lines = BufReader::new(stream).lines();
    let mut next = async |wanted: &str| {
        let wanted = format!("event: {wanted}");
        loop {
            let line = patiently(lines.next_line())
                .await
                .expect("open")
                .expect("not over");
            if line == wanted {
                let data = patiently(lines.next_line())
                    .await
                    .expect("open")
                    .expect("not over");
                let json = data.strip_prefix("data: ").expect("its data");
                return serde_json::from_str::<Value>(json).expect("JSON");
            }
        }
    };
    assert_eq!(next("streams").await["streams"][0]["name"], "garden");
    assert_eq!(places(&next("tree").await).len(), 1);

    let mut viewer = supervisor.peer(30, Component::Receiver).await;
    viewer.says(&JOIN).await;
    let seen = loop {
        let change = next("change").await;
        if let Some(first) = change["changed"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|m| m["peer"] == json!(id(30)))
        {
            break first.clone();
        }
    };
    assert_eq!(seen["state"], "well");
    let joined = loop {
        let happened = next("happening").await;
        if happened["event"] == "joined" {
            break happened;
        }
    };
    assert_eq!(joined["peer"], json!(id(30)));

    viewer.says(&FromPeer::Leave { stream: STREAM }).await;
    while next("change").await["gone"] != json!([id(30)]) {}
    assert_eq!(next("happening").await["event"], "left");
}

type Feed = Lines<BufReader<TcpStream>>;

/// An open feed; `who` is a line of the request's head, with its end.
async fn watch(supervisor: &Supervisor, who: &str) -> Feed {
    let mut stream = supervisor.visit().await;
    let request =
        format!("GET /api/events HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{who}\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    BufReader::new(stream).lines()
}

/// Whether the feed tells of the streams once more, and does not end before.
async fn tells_of_streams(feed: &mut Feed) -> bool {
    patiently(async {
        while let Some(line) = feed.next_line().await.expect("text") {
            if line == "event: streams" {
                return true;
            }
        }
        false
    })
    .await
}

#[tokio::test]
async fn a_feed_ends_with_its_session_and_that_of_a_token_goes_on() {
    let supervisor = Supervisor::start().await;
    let made = supervisor.home.command("operator-token").await;
    let token = format!("Authorization: Bearer {}\r\n", made.out.trim());
    let mut of_token = watch(&supervisor, &token).await;
    assert!(tells_of_streams(&mut of_token).await);

    let operator = Operator::of(&supervisor).await;
    let mut feed = watch(&supervisor, &operator.cookie()).await;
    assert!(tells_of_streams(&mut feed).await);
    assert_eq!(operator.post("/api/logout", json!({})).await.0, 200);
    assert!(!tells_of_streams(&mut feed).await);

    let operator = Operator::of(&supervisor).await;
    let mut feed = watch(&supervisor, &operator.cookie()).await;
    assert!(tells_of_streams(&mut feed).await);
    set_password(&supervisor, "another password").await;
    assert!(!tells_of_streams(&mut feed).await);

    let _broadcaster = supervisor.broadcaster(1).await;
    assert!(tells_of_streams(&mut of_token).await);
}

#[tokio::test]
async fn the_operator_moves_evicts_rearranges_and_ends() {
    let supervisor = Supervisor::start().await;
    let mut broadcaster = supervisor.broadcaster(1).await;
    let mut viewers = Vec::new();
    for n in [30, 31] {
        let mut viewer = supervisor.peer(n, Component::Receiver).await;
        viewer.says(&JOIN).await;
        viewer.is_alive().await;
        viewers.push(viewer);
    }
    let operator = Operator::of(&supervisor).await;
    let parent_of = async |n: u16| {
        let tree = operator.get(&at_stream("tree")).await;
        let found = places(&tree)
            .into_iter()
            .find(|(peer, _)| *peer == id(n).to_string());
        found.map(|(_, parent)| parent)
    };

    let wish = json!({ "peer": id(31), "parent": id(30) });
    assert_eq!(operator.post(&at_stream("move"), wish).await.0, 200);
    assert_eq!(parent_of(31).await, Some(json!(id(30))));
    let wish = json!({ "peer": id(30), "parent": id(31) });
    let (status, said) = operator.post(&at_stream("move"), wish).await;
    assert_eq!(status, 409, "{said}");

    let wish = json!({ "kind": "tree", "arity": 3 });
    assert_eq!(operator.post(&at_stream("topology"), wish).await.0, 200);
    assert_eq!(parent_of(31).await, Some(json!(id(1))));
    let (status, _) = operator
        .post(&at_stream("topology"), json!({ "kind": "ring" }))
        .await;
    assert_eq!(status, 422);

    let wish = json!({ "peer": id(31) });
    assert_eq!(operator.post(&at_stream("evict"), wish).await.0, 200);
    assert_eq!(parent_of(31).await, None);
    loop {
        if let ToPeer::StreamRefused { words, .. } = viewers[1].hears().await {
            assert!(words.contains("operator"), "{words}");
            break;
        }
    }

    let (status, said) = operator
        .post(&at_stream("end"), json!({ "name": "graden" }))
        .await;
    assert_eq!(status, 409, "{said}");
    assert_eq!(
        operator
            .post(&at_stream("end"), json!({ "name": "garden" }))
            .await
            .0,
        200
    );
    let streams = operator.get("/api/streams").await;
    assert_eq!(streams["streams"], json!([]));
    assert_eq!(streams["ended"][0]["name"], "garden");
    while !matches!(broadcaster.hears().await, ToPeer::StreamRefused { .. }) {}
    assert_eq!(operator.post(&at_stream("allow"), Value::Null).await.0, 200);
    broadcaster.says(&FromPeer::RegisterStream(offer())).await;
    while !matches!(broadcaster.hears().await, ToPeer::StreamRegistered { .. }) {}
}

#[tokio::test]
async fn whoever_is_blocked_does_not_come_back_with_the_same_key() {
    let supervisor = Supervisor::start().await;
    let viewer = supervisor.peer(30, Component::Receiver).await;
    let operator = Operator::of(&supervisor).await;
    let path = format!("/api/peers/{}/block", id(30));
    assert_eq!(
        operator.post(&path, Value::Null).await,
        (200, json!({ "connected": 1 }))
    );
    viewer.hangs_up().await;
    let mut again = supervisor.connect().await;
    let candidate = town::candidate(30, Component::Receiver, None);
    let refused = again.proves(candidate, &town::private_key(30)).await;
    let (_, words) = refused.expect_err("its key is blocked");
    assert_eq!(words, "the operator has blocked this peer");

    // It stays so when the supervisor starts again, until somebody lifts it.
    let home = supervisor.die().await;
    let listed = home.command("blocks list").await;
    assert!(listed.out.contains("viewer"), "{listed:?}");
    let supervisor = Supervisor::start_in(home).await;
    let again = || town::candidate(30, Component::Receiver, None);
    let key = town::private_key(30);
    let mut socket = supervisor.connect().await;
    assert!(socket.proves(again(), &key).await.is_err());
    let operator = Operator::of(&supervisor).await;
    let rows = operator.get("/api/operator/blocks").await;
    assert_eq!(
        (&rows[0]["component"], &rows[1]),
        (&json!("receiver"), &Value::Null)
    );
    let fingerprint = rows[0]["fingerprint"].as_str().expect("a fingerprint");
    let path = format!("/api/operator/blocks/{fingerprint}/lift");
    assert_eq!(operator.post(&path, Value::Null).await.0, 200);
    let mut socket = supervisor.connect().await;
    assert!(socket.proves(again(), &key).await.is_ok());
    assert_eq!(operator.get("/api/operator/blocks").await, json!([]));
    assert_eq!(operator.post(&path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_trial_of_failures_needs_the_streams_consent_and_its_name() {
    let supervisor = Supervisor::start().await;
    let mut broadcaster = supervisor.broadcaster(1).await;
    let operator = Operator::of(&supervisor).await;
    let path = at_stream("failures");
    let plan = |name: &str| {
        json!({
            "name": name, "distribution": { "kind": "uniform" }, "rate": 10.0, "seconds": 2, "how": "leave",
        })
    };
    let (status, said) = operator.post(&path, plan("garden")).await;
    assert_eq!(status, 403);
    assert!(
        said["error"]
            .as_str()
            .expect("words")
            .contains("allow_failures"),
        "{said}"
    );

    let allow_failures = true;
    let offer = protocol::signal::Registration {
        allow_failures,
        ..offer()
    };
    broadcaster.says(&FromPeer::RegisterStream(offer)).await;
    broadcaster.is_alive().await;
    assert_eq!(operator.post(&path, plan("graden")).await.0, 409);

    let mut viewer = supervisor.peer(30, Component::Receiver).await;
    viewer.says(&JOIN).await;
    viewer.is_alive().await;
    let (status, trial) = operator.post(&path, plan("garden")).await;
    assert_eq!(
        (status, &trial["phase"]),
        (200, &json!("running")),
        "{trial}"
    );
    assert_eq!(
        operator.post(&path, plan("garden")).await.0,
        409,
        "one at a time"
    );
    while !matches!(viewer.hears().await, ToPeer::Fail { .. }) {}
    let delete = ("DELETE", path.as_str());
    let (status, trial) = call(&supervisor, delete, &operator.cookie(), &Value::Null).await;
    assert_eq!((status, &trial["phase"]), (200, &json!("stopped")));
    // That it was told is noted a moment after it hears it.
    let trial = patiently(async {
        loop {
            let trial = operator.get(&path).await;
            if trial["failures"] == 1 {
                break trial;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(trial["lives"][0]["failed"], true);
}
