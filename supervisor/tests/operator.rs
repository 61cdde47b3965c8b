//! The operator's endpoints and commands, with the real program running and not.

mod town;

use protocol::security::token::JoinToken;
use protocol::signal::{Access, Component, FromPeer, Refusal, Registration, ToPeer};
use serde_json::{Value, json};
use town::{Home, STREAM, Socket, Supervisor, ask, offer};

async fn operator_token(home: &Home) -> String {
    let said = home.command("operator-token").await;
    assert!(said.well, "{said:?}");
    said.out.trim().to_owned()
}

/// Status and content of what an endpoint answers, over TCP.
async fn call(
    supervisor: &Supervisor,
    (method, path): (&str, &str),
    token: Option<&str>,
    body: &Value,
) -> (u16, Value) {
    let bearer = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let more = format!("Content-Type: application/json\r\n{bearer}");
    let path = format!("/api/operator/{path}");
    let stream = supervisor.visit().await;
    let (head, content) = ask(stream, method, &path, &more, &body.to_string()).await;
    let status = head[9..12].parse().expect("a status");
    (status, serde_json::from_str(&content).unwrap_or_default())
}

async fn list(supervisor: &Supervisor, token: Option<&str>) -> (u16, Value) {
    call(supervisor, ("GET", "tokens"), token, &Value::Null).await
}

#[tokio::test]
async fn only_the_operators_token_opens_its_endpoints() {
    let supervisor = Supervisor::start().await;
    let (status, said) = list(&supervisor, None).await;
    assert_eq!(status, 401);
    let words = said["error"].as_str().expect("words");
    assert!(words.contains("supervisor operator-token"), "{words}");

    let token = operator_token(&supervisor.home).await;
    assert_eq!(list(&supervisor, None).await.0, 401);
    assert_eq!(list(&supervisor, Some("wrong")).await.0, 401);
    assert_eq!(list(&supervisor, Some(&token)).await, (200, json!([])));

    let newer = operator_token(&supervisor.home).await;
    assert_eq!(list(&supervisor, Some(&token)).await.0, 401);
    assert_eq!(list(&supervisor, Some(&newer)).await.0, 200);
}

#[tokio::test]
async fn every_endpoint_asks_for_it_even_one_that_is_not_there() {
    let supervisor = Supervisor::start().await;
    for endpoint in [
        ("GET", "tokens"),
        ("POST", "tokens"),
        ("GET", "peers"),
        ("POST", "peers/1234/revoke"),
        ("GET", "invitations"),
        ("POST", "invitations"),
        ("POST", "invitations/1234/revoke"),
        ("POST", "operator-token"),
        ("GET", "nothing"),
    ] {
        let (status, _) = call(&supervisor, endpoint, None, &json!({})).await;
        assert_eq!(status, 401, "{endpoint:?}");
    }
    let token = operator_token(&supervisor.home).await;
    let path = ("POST", "operator-token");
    let (status, _) = call(&supervisor, path, Some(&token), &json!({})).await;
    assert_eq!(
        status, 404,
        "a token is replaced on the machine itself alone"
    );
}

#[tokio::test]
async fn whoever_guesses_has_to_wait() {
    let supervisor = Supervisor::start().await;
    let token = operator_token(&supervisor.home).await;
    for _ in 0..10 {
        assert_eq!(list(&supervisor, Some("guess")).await.0, 401);
    }
    assert_eq!(list(&supervisor, Some("guess")).await.0, 429);
    assert_eq!(list(&supervisor, Some(&token)).await.0, 429);
    let on_the_machine = supervisor.home.command("token list").await;
    assert!(on_the_machine.well, "{on_the_machine:?}");
}

#[tokio::test]
async fn a_join_token_is_made_over_the_network() {
    let supervisor = Supervisor::start().await;
    let token = operator_token(&supervisor.home).await;
    let wish = json!({"role": "relay", "expires_in_s": 3600});
    let post = ("POST", "tokens");
    let (status, made) = call(&supervisor, post, Some(&token), &wish).await;
    assert_eq!(status, 200, "{made}");
    let text = made["token"].as_str().expect("a token");
    let read: JoinToken = text.parse().expect("what a service understands");
    assert_eq!(read.role, Component::Relay);
    let (_, listed) = list(&supervisor, Some(&token)).await;
    assert_eq!(listed[0]["role"], "relay");
    let digest = read.secret.digest().to_string();
    let id = listed[0]["id"].as_str().expect("an id");
    assert!(
        digest.starts_with(id),
        "it is kept by what the service will show"
    );
    assert_eq!(listed[0]["used_by"], Value::Null);
    assert!(!listed.to_string().contains(text), "it is shown only once");

    let wish = json!({"role": "receiver", "expires_in_s": 3600});
    let (status, said) = call(&supervisor, post, Some(&token), &wish).await;
    assert_eq!(status, 422, "{said}");
    let wish = json!({"role": "relay", "expires_in_s": 0});
    assert_eq!(call(&supervisor, post, Some(&token), &wish).await.0, 400);
}

/// Makes a token and sees it in the list.
async fn makes_and_lists(home: &Home) {
    let made = home
        .command("token create --role broadcaster --expires 2h")
        .await;
    assert!(made.well && made.out.starts_with("own1-"), "{made:?}");
    assert!(made.err.contains("one broadcaster"), "{made:?}");
    let listed = home.command("token list").await;
    assert!(listed.out.contains("broadcaster"), "{listed:?}");
    assert!(listed.out.contains("open for"), "{listed:?}");
    let rows = home.command("token list --json").await.json();
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    let peers = home.command("peers list").await;
    assert_eq!(peers.out, "No peers are enrolled.\n");
    let nobody = home.command("peers revoke 12ab").await;
    assert!(!nobody.well, "{nobody:?}");
    assert!(
        nobody
            .err
            .contains("no peer's fingerprint begins with 12ab"),
        "{nobody:?}"
    );
    let slip = home.command("peers revoke ../x").await;
    assert!(
        !slip.well && slip.err.contains("not the beginning"),
        "{slip:?}"
    );
}

#[tokio::test]
async fn commands_are_carried_out_by_the_supervisor_that_runs() {
    let supervisor = Supervisor::start().await;
    makes_and_lists(&supervisor.home).await;
    supervisor.log.after("a join token was made").await;
}

#[tokio::test]
async fn commands_are_carried_out_when_none_runs() {
    let home = Home::new();
    home.write("listen = \"127.0.0.1:0\"");
    makes_and_lists(&home).await;
    // And a supervisor that starts knows of it.
    let supervisor = Supervisor::start_in(home).await;
    let rows = supervisor.home.command("token list --json").await.json();
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn looking_makes_nothing() {
    let home = Home::new();
    home.write("listen = \"127.0.0.1:0\"");
    let said = home.command("peers list").await;
    assert!(
        !said.well && said.err.contains("no supervisor has ever run"),
        "{said:?}"
    );
    assert!(!home.state().exists());
}

#[tokio::test]
async fn an_invitation_is_a_link_to_a_stream_on_the_air() {
    let public = "public_url = \"https://tv.example.org\"";
    let supervisor = Supervisor::start_with(public).await;
    let _broadcaster = supervisor.broadcaster(1).await;
    let made = supervisor.home.command("invite garden --expires 2h").await;
    let beginning = "https://tv.example.org/watch/garden#invitation=";
    assert!(made.well && made.out.starts_with(beginning), "{made:?}");
    let unknown = supervisor.home.command("invite cellar --expires 2h").await;
    assert!(
        !unknown.well && unknown.err.contains("no stream is called \"cellar\""),
        "{unknown:?}"
    );
    let home = supervisor.die().await;
    let nobody = home.command("invite garden --expires 2h").await;
    assert!(
        !nobody.well && nobody.err.contains("no supervisor is running"),
        "{nobody:?}"
    );
}

/// A stream for those who are invited, on the air.
async fn broadcaster_for_the_invited(supervisor: &Supervisor) -> Socket {
    let mut broadcaster = supervisor.peer(1, Component::Broadcaster).await;
    let access = Access::Invited;
    let offer = Registration { access, ..offer() };
    broadcaster.says(&FromPeer::RegisterStream(offer)).await;
    while !matches!(broadcaster.hears().await, ToPeer::StreamRegistered { .. }) {}
    broadcaster
}

/// Watches by that invitation; gives what it is answered first.
async fn joins(viewer: &mut Socket, invitation: &Value) -> ToPeer {
    let invitation = invitation.as_str().map(str::to_owned);
    let (stream, parent) = (STREAM, None);
    viewer
        .says(&FromPeer::Join {
            stream,
            parent,
            invitation,
        })
        .await;
    loop {
        let answer = viewer.hears().await;
        if matches!(
            answer,
            ToPeer::Placement { .. } | ToPeer::StreamRefused { .. }
        ) {
            return answer;
        }
    }
}

#[tokio::test]
async fn an_invitation_is_taken_back_by_itself_and_for_good() {
    let own = "listen = \"127.0.0.1:0\"\nmetrics = \"off\"";
    let home = Home::new();
    home.write(own);
    let supervisor = Supervisor::start_in(home).await;
    let _broadcaster = broadcaster_for_the_invited(&supervisor).await;
    let mut made = Vec::new();
    for _ in 0..2 {
        let line = "invite garden --expires 2h --json";
        made.push(supervisor.home.command(line).await.json());
    }
    let mut viewers = Vec::new();
    for (n, invitation) in (30..).zip(&made) {
        let mut viewer = supervisor.peer(n, Component::Receiver).await;
        let answer = joins(&mut viewer, &invitation["invitation"]).await;
        assert!(matches!(answer, ToPeer::Placement { .. }), "{answer:?}");
        viewers.push(viewer);
    }
    let rows = supervisor.home.command("invitations list --json").await;
    let rows = rows.json();
    assert_eq!(rows[0]["name"], "garden");
    assert_eq!(
        (&rows[0]["watching"], &rows[1]["watching"]),
        (&json!(1), &json!(1))
    );
    let text = made[0]["invitation"].as_str().expect("a text");
    assert!(!rows.to_string().contains(text), "it is shown only once");

    let id = made[0]["id"].as_str().expect("an id").to_owned();
    let said = supervisor
        .home
        .command(&format!("invitations revoke {}", &id[..8]))
        .await;
    assert!(
        said.well && said.out.contains("one viewer is put out"),
        "{said:?}"
    );
    loop {
        if let ToPeer::StreamRefused { refusal, words, .. } = viewers[0].hears().await {
            assert_eq!(
                (refusal, words.as_str()),
                (Refusal::NotInvited, "the invitation was taken back")
            );
            break;
        }
    }
    let again = joins(&mut viewers[0], &made[0]["invitation"]).await;
    assert!(matches!(again, ToPeer::StreamRefused { .. }), "{again:?}");
    viewers[1].is_alive().await;

    // The next supervisor knows of it, and so do commands in between.
    let home = supervisor.die().await;
    let rows = home.command("invitations list").await;
    let taken_back = |text: &str| text.lines().filter(|l| l.contains("taken back")).count();
    assert_eq!(taken_back(&rows.out), 1, "{rows:?}");
    let other = made[1]["id"].as_str().expect("an id");
    let said = home.command(&format!("invitations revoke {other}")).await;
    assert!(
        said.well && said.out.contains("no supervisor is running"),
        "{said:?}"
    );
    let supervisor = Supervisor::start_in(home).await;
    let _broadcaster = broadcaster_for_the_invited(&supervisor).await;
    for (n, invitation) in (30..).zip(&made) {
        let mut viewer = supervisor.peer(n, Component::Receiver).await;
        let answer = joins(&mut viewer, &invitation["invitation"]).await;
        assert!(matches!(answer, ToPeer::StreamRefused { .. }), "{answer:?}");
    }
    let nobodys = supervisor.home.command("invitations revoke abcd").await;
    assert!(
        !nobodys.well && nobodys.err.contains("no invitation's id begins with abcd"),
        "{nobodys:?}"
    );
}

#[tokio::test]
async fn a_link_without_a_public_address_leads_to_where_it_listens() {
    let supervisor = Supervisor::start().await;
    let _broadcaster = supervisor.broadcaster(1).await;
    let made = supervisor
        .home
        .command("invite garden --expires 2h --json")
        .await;
    let link = made.json()["link"].as_str().expect("a link").to_owned();
    let beginning = format!("http://{}/watch/garden#", supervisor.address);
    assert!(link.starts_with(&beginning), "{link}");
}

#[tokio::test]
async fn a_supervisor_killed_between_operations_has_lost_none() {
    let home = Home::new();
    home.write("listen = \"127.0.0.1:0\"");
    let token = operator_token(&home).await;
    let mut home = home;
    let mut authorities = Vec::new();
    for round in 1..=8 {
        let supervisor = Supervisor::start_in(home).await;
        let wish = json!({"role": "relay", "expires_in_s": 3600});
        let (status, said) = call(&supervisor, ("POST", "tokens"), Some(&token), &wish).await;
        assert_eq!(status, 200, "{said}");
        let text = said["token"].as_str().expect("a token");
        let read: JoinToken = text.parse().expect("what a service understands");
        authorities.push(read.authority);
        let _peer = supervisor.peer(10, Component::Receiver).await;
        home = supervisor.die().await;
        let rows = home.command("token list --json").await.json();
        assert_eq!(rows.as_array().map(Vec::len), Some(round));
    }
    authorities.dedup();
    assert_eq!(authorities.len(), 1, "it is one authority for good");
}

#[tokio::test]
async fn a_damaged_store_stops_the_start_and_is_named() {
    let home = Home::new();
    home.write("listen = \"127.0.0.1:0\"");
    std::fs::create_dir(home.state()).expect("made");
    std::fs::write(home.state().join("supervisor.redb"), "x".repeat(10_000)).expect("written");
    let said = home.command("token list").await;
    assert!(
        !said.well && said.err.contains("supervisor.redb is damaged"),
        "{said:?}"
    );
}

#[tokio::test]
async fn the_control_socket_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let supervisor = Supervisor::start().await;
    let path = supervisor.home.state().join("control.sock");
    let about = std::fs::metadata(path).expect("there");
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
}
