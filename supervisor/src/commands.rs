//! Carries out an operator's command: by asking the supervisor that runs, or in its store when none does.

mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use protocol::signal::Component;
use serde::Serialize;

use crate::cli::{Blocks, Command, Invitations, Peers, Place, Token};
use crate::config::Config;
use crate::control::Client;
use crate::lifetime::in_words;
use crate::operator::api::{
    BlockRow, Done, Invitation, InvitationRequest, InvitationRevoked, InvitationRow, Lifted,
    OperatorToken, PasswordRequest, PeerRow, Revoked, TokenMade, TokenRequest, TokenRow,
};
use crate::operator::{Office, OperatorError, now_s, password};
use crate::store::Store;

/// Where the units look as well.
const USUAL_CONFIG: &str = "/etc/ownstream/supervisor.toml";

/// Does it, and says how it went.
pub(crate) fn run(command: &Command) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime
        .context("starting the async runtime")
        .and_then(|runtime| runtime.block_on(carry_out(command)));
    match done {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("supervisor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(command: &Command) -> anyhow::Result<String> {
    let place = command.place();
    let config = config(place)?;
    let mut desk = Desk::find(&config.state_dir, command).await?;
    match command {
        Command::Token(Token::Create { role, expires, .. }) => {
            let wish = TokenRequest {
                role: *role,
                expires_in_s: expires.0,
            };
            show(place, &desk.create_token(wish).await?, token_text)
        }
        Command::Token(Token::List { .. }) => {
            show(place, &desk.tokens().await?, |t| tokens_text(t))
        }
        Command::Peers(Peers::List { .. }) => show(place, &desk.peers().await?, |p| peers_text(p)),
        Command::Peers(Peers::Revoke { fingerprint, .. }) => {
            show(place, &desk.revoke(fingerprint).await?, revoked_text)
        }
        Command::Invite {
            stream, expires, ..
        } => {
            let wish = InvitationRequest {
                stream: stream.clone(),
                expires_in_s: expires.0,
            };
            show(place, &desk.invite(wish).await?, |made| {
                format!("{}\n", made.link)
            })
        }
        Command::Invitations(Invitations::List { .. }) => {
            show(place, &desk.invitations().await?, |i| invitations_text(i))
        }
        Command::Invitations(Invitations::Revoke { id, .. }) => {
            let revoked = desk.revoke_invitation(id).await?;
            show(place, &revoked, invitation_revoked_text)
        }
        Command::Blocks(Blocks::List { .. }) => {
            show(place, &desk.blocks().await?, |b| blocks_text(b))
        }
        Command::Blocks(Blocks::Lift { fingerprint, .. }) => {
            show(place, &desk.lift(fingerprint).await?, lifted_text)
        }
        Command::OperatorPassword { .. } => {
            let password = password::read()?;
            password::hash(&password)?; // too short: said before anybody is asked
            show(place, &desk.set_password(&password).await?, |_| {
                "The password is set. /monitor asks for it.\n".into()
            })
        }
        Command::OperatorToken { .. } => show(place, &desk.operator_token().await?, |made| {
            format!("{}\n", made.token)
        }),
    }
}

fn config(place: &Place) -> anyhow::Result<Config> {
    let usual = || {
        Path::new(USUAL_CONFIG)
            .exists()
            .then(|| PathBuf::from(USUAL_CONFIG))
    };
    match place.config.clone().or_else(usual) {
        Some(path) => daemon::config::load(path),
        None => Ok(Config::default()),
    }
}

/// Whoever carries the wishes out.
enum Desk {
    Running(Client),
    Stopped(Office),
}

impl Desk {
    async fn find(state_dir: &Path, command: &Command) -> anyhow::Result<Self> {
        if let Some(client) = Client::connect(state_dir).await? {
            return Ok(Self::Running(client));
        }
        match command {
            Command::Invite { .. } => return Err(OperatorError::NotRunning.into()),
            // These may come before the first start.
            Command::Token(Token::Create { .. })
            | Command::OperatorPassword { .. }
            | Command::OperatorToken { .. } => {}
            _ if Store::is_in(state_dir) => {}
            _ => bail!(
                "no supervisor has ever run with state_dir {}",
                state_dir.display()
            ),
        }
        let store = Store::open(state_dir).map_err(|error| {
            let forbidden = error.is_forbidden();
            let error = anyhow::Error::from(error);
            match forbidden {
                true => {
                    error.context("run this as root, or as the user that the supervisor runs as")
                }
                false => error,
            }
        })?;
        let makes = matches!(
            command,
            Command::Token(Token::Create { .. })
                | Command::OperatorPassword { .. }
                | Command::OperatorToken { .. }
        );
        if makes {
            eprintln!(
                "No supervisor runs with state_dir {} now: kept there for the next one.",
                state_dir.display()
            );
        }
        Ok(Self::Stopped(Office::new(store, None)?))
    }

    async fn create_token(&mut self, wish: TokenRequest) -> anyhow::Result<TokenMade> {
        match self {
            Self::Running(client) => client.post("tokens", &wish).await,
            Self::Stopped(office) => Ok(office.create_token(wish).await?),
        }
    }

    async fn tokens(&mut self) -> anyhow::Result<Vec<TokenRow>> {
        match self {
            Self::Running(client) => client.get("tokens").await,
            Self::Stopped(office) => Ok(office.tokens().await?),
        }
    }

    async fn peers(&mut self) -> anyhow::Result<Vec<PeerRow>> {
        match self {
            Self::Running(client) => client.get("peers").await,
            Self::Stopped(office) => Ok(office.peers().await?),
        }
    }

    async fn revoke(&mut self, prefix: &str) -> anyhow::Result<Revoked> {
        match self {
            // Only digits can stand in a path; anything else gets its words from here.
            Self::Running(client) if prefix.bytes().all(|c| c.is_ascii_alphanumeric()) => {
                client.post(&format!("peers/{prefix}/revoke"), &()).await
            }
            Self::Running(_) => bail!("{prefix:?} is not the beginning of a fingerprint"),
            Self::Stopped(office) => Ok(office.revoke(prefix).await?),
        }
    }

    async fn invite(&mut self, wish: InvitationRequest) -> anyhow::Result<Invitation> {
        match self {
            Self::Running(client) => client.post("invitations", &wish).await,
            Self::Stopped(office) => Ok(office.invite(wish).await?),
        }
    }

    async fn invitations(&mut self) -> anyhow::Result<Vec<InvitationRow>> {
        match self {
            Self::Running(client) => client.get("invitations").await,
            Self::Stopped(office) => Ok(office.invitations().await?),
        }
    }

    async fn revoke_invitation(&mut self, prefix: &str) -> anyhow::Result<InvitationRevoked> {
        match self {
            Self::Running(client) if prefix.bytes().all(|c| c.is_ascii_alphanumeric()) => {
                let path = format!("invitations/{prefix}/revoke");
                client.post(&path, &()).await
            }
            Self::Running(_) => bail!("{prefix:?} is not the beginning of an invitation's id"),
            Self::Stopped(office) => Ok(office.revoke_invitation(prefix).await?),
        }
    }

    async fn blocks(&mut self) -> anyhow::Result<Vec<BlockRow>> {
        match self {
            Self::Running(client) => client.get("blocks").await,
            Self::Stopped(office) => Ok(office.blocks().await?),
        }
    }

    async fn lift(&mut self, prefix: &str) -> anyhow::Result<Lifted> {
        match self {
            Self::Running(client) if prefix.bytes().all(|c| c.is_ascii_alphanumeric()) => {
                client.post(&format!("blocks/{prefix}/lift"), &()).await
            }
            Self::Running(_) => bail!("{prefix:?} is not the beginning of a fingerprint"),
            Self::Stopped(office) => Ok(office.lift(prefix).await?),
        }
    }

    async fn set_password(&mut self, password: &str) -> anyhow::Result<Done> {
        let password = password.to_owned();
        let wish = PasswordRequest { password };
        match self {
            Self::Running(client) => client.post("operator-password", &wish).await,
            Self::Stopped(office) => Ok(office.set_password(wish).await?),
        }
    }

    async fn operator_token(&mut self) -> anyhow::Result<OperatorToken> {
        match self {
            Self::Running(client) => client.post("operator-token", &()).await,
            Self::Stopped(office) => Ok(office.new_operator_token().await?),
        }
    }
}

fn show<T: Serialize>(
    place: &Place,
    answer: &T,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<String> {
    match place.json {
        true => Ok(serde_json::to_string_pretty(answer)? + "\n"),
        false => Ok(text(answer)),
    }
}

/// On a line by itself, to be copied; what else there is to say goes to the terminal alone.
fn token_text(made: &TokenMade) -> String {
    let left = in_words(made.expires_s.saturating_sub(now_s()));
    eprintln!(
        "This lets one {} in, once, within {left}. It is shown only now.",
        made.role
    );
    format!("{}\n", made.token)
}

fn tokens_text(tokens: &[TokenRow]) -> String {
    if tokens.is_empty() {
        return "No join tokens.\n".into();
    }
    let now = now_s();
    let rows = tokens.iter().map(|token| {
        let state = match token.used_by {
            Some(key) => format!("used by {}", &key.to_string()[..16]),
            None if token.expires_s <= now => "expired".into(),
            None => format!("open for {}", in_words(token.expires_s - now)),
        };
        let made = ago(token.made_s, now);
        [token.id.clone(), token.role.to_string(), made, state]
    });
    table::text(["TOKEN", "ROLE", "MADE", "STATE"], rows)
}

fn peers_text(peers: &[PeerRow]) -> String {
    if peers.is_empty() {
        return "No peers are enrolled.\n".into();
    }
    let now = now_s();
    let rows = peers.iter().map(|peer| {
        let state = match peer.revoked_s {
            Some(at) => format!("revoked {}", ago(at, now)),
            None => "enrolled".into(),
        };
        let fingerprint = peer.fingerprint.to_string()[..16].to_owned();
        let enrolled = ago(peer.enrolled_s, now);
        [
            fingerprint,
            peer.role.to_string(),
            printable(&peer.name),
            enrolled,
            state,
        ]
    });
    table::text(["FINGERPRINT", "ROLE", "NAME", "SINCE", "STATE"], rows)
}

fn revoked_text(revoked: &Revoked) -> String {
    let connected = match revoked.connected {
        Some(0) => "it is not connected".to_owned(),
        Some(1) => "it was connected, and is told to go".to_owned(),
        Some(several) => format!("{several} connections with it are told to go"),
        None => "no supervisor is running".to_owned(),
    };
    format!(
        "Revoked the {} {:?} ({}); {connected}.\n",
        revoked.role, revoked.name, revoked.fingerprint
    )
}

fn invitations_text(invitations: &[InvitationRow]) -> String {
    if invitations.is_empty() {
        return "No invitations.\n".into();
    }
    let now = now_s();
    let rows = invitations.iter().map(|invitation| {
        let state = match invitation.revoked_s {
            Some(at) => format!("taken back {}", ago(at, now)),
            None if invitation.not_after_s <= now => "ended".into(),
            None => format!("good for {}", in_words(invitation.not_after_s - now)),
        };
        let watching = invitation.watching;
        [
            invitation.id.to_string()[..16].to_owned(),
            printable(&invitation.name),
            ago(invitation.made_s, now),
            watching.map_or_else(|| "?".into(), |count| count.to_string()),
            state,
        ]
    });
    table::text(["INVITATION", "STREAM", "MADE", "WATCHING", "STATE"], rows)
}

fn invitation_revoked_text(revoked: &InvitationRevoked) -> String {
    let watching = match revoked.watching {
        Some(0) => "nobody watched by it".to_owned(),
        Some(1) => "one viewer is put out".to_owned(),
        Some(several) => format!("{several} viewers are put out"),
        None => "no supervisor is running".to_owned(),
    };
    format!(
        "Took back an invitation to {:?} ({}); {watching}.\n",
        revoked.name, revoked.id
    )
}

fn blocks_text(blocks: &[BlockRow]) -> String {
    if blocks.is_empty() {
        return "Nobody is blocked.\n".into();
    }
    let now = now_s();
    let rows = blocks.iter().map(|block| {
        let fingerprint = block.fingerprint.to_string()[..16].to_owned();
        let name = block.name.as_deref().unwrap_or(&block.software);
        let since = ago(block.since_s, now);
        [
            fingerprint,
            component(block.component).into(),
            printable(name),
            since,
        ]
    });
    table::text(["FINGERPRINT", "IS A", "NAME", "BLOCKED"], rows)
}

fn lifted_text(lifted: &Lifted) -> String {
    let is = component(lifted.component);
    format!("The {is} {} may come in again.\n", lifted.fingerprint)
}

const fn component(component: Component) -> &'static str {
    match component {
        Component::Broadcaster => "broadcaster",
        Component::Relay => "relay",
        Component::Receiver => "viewer",
    }
}

fn ago(then_s: u64, now_s: u64) -> String {
    format!("{} ago", in_words(now_s.saturating_sub(then_s)))
}

/// A peer chose its name itself: nothing in it may move the cursor.
fn printable(name: &str) -> String {
    let safe = |c: char| if c.is_control() { '?' } else { c };
    name.chars().map(safe).collect()
}
