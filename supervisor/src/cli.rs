//! The command line: a configuration file to serve by, or something to be done.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::lifetime::Lifetime;
use crate::store::Role;

/// Finds streams, decides who feeds whom, serves the pages.
#[derive(Debug, Parser)]
#[command(
    name = "supervisor",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "`supervisor CONFIG.toml` serves until it is ended. OWNSTREAM_LOG=debug in the environment shows more."
)]
pub(crate) struct Cli {
    /// Serve, as this file says
    #[arg(value_name = "CONFIG.toml")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Let broadcasters and relays in
    #[command(subcommand)]
    Token(Token),
    /// Who was let in
    #[command(subcommand)]
    Peers(Peers),
    /// Print a link that lets whoever has it watch a stream
    Invite {
        /// Name of a stream that is on the air
        stream: String,
        /// How long the link lets anybody in: 90s, 30m, 2h, 7d
        #[arg(long)]
        expires: Lifetime,
        #[command(flatten)]
        place: Place,
    },
    /// The links that were made
    #[command(subcommand)]
    Invitations(Invitations),
    /// Peers that were blocked on the monitor
    #[command(subcommand)]
    Blocks(Blocks),
    /// Set the password for /monitor: asked for twice, or read as a line from standard input
    OperatorPassword {
        #[command(flatten)]
        place: Place,
    },
    /// Make a new token for /api and print it, once; the last one is void
    OperatorToken {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token that lets one peer in, once, and print it
    Create {
        /// What the peer may be
        #[arg(long)]
        role: Role,
        /// How long it may take to join: 90s, 30m, 24h, 7d
        #[arg(long, default_value = "24h")]
        expires: Lifetime,
        #[command(flatten)]
        place: Place,
    },
    /// Tokens that were made, and who used them
    List {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Peers {
    /// Peers that were let in
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Let a peer in no longer
    Revoke {
        /// The first digits of its fingerprint
        fingerprint: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Invitations {
    /// Links that were made: for which stream, until when, and how many watch by them
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Take a link back: it opens the stream no longer, and whoever came by it is put out
    Revoke {
        /// The first digits of its id
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Blocks {
    /// Peers that are blocked
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Let a peer come in again
    Lift {
        /// The first digits of its fingerprint
        fingerprint: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Which supervisor is meant, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The supervisor's configuration [default: /etc/ownstream/supervisor.toml, if it is there]
    #[arg(long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Command {
    pub(crate) const fn place(&self) -> &Place {
        match self {
            Self::Token(Token::Create { place, .. } | Token::List { place })
            | Self::Peers(Peers::List { place } | Peers::Revoke { place, .. })
            | Self::Invite { place, .. }
            | Self::Blocks(Blocks::List { place } | Blocks::Lift { place, .. })
            | Self::Invitations(Invitations::List { place } | Invitations::Revoke { place, .. })
            | Self::OperatorPassword { place }
            | Self::OperatorToken { place } => place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_alone_serves() {
        let cli = parse("supervisor /etc/s.toml").expect("a path");
        assert_eq!(cli.config, Some("/etc/s.toml".into()));
        assert!(cli.command.is_none());
    }

    #[test]
    fn a_command_says_what_it_needs() {
        let wrong = parse("supervisor token create").expect_err("no role");
        assert!(wrong.contains("--role"), "{wrong}");
        let wrong = parse("supervisor token create --role receiver").expect_err("no such role");
        assert!(wrong.contains("broadcaster, relay"), "{wrong}");
        let wrong = parse("supervisor invite garden --expires soon").expect_err("no duration");
        assert!(wrong.contains("24h"), "{wrong}");
    }

    #[test]
    fn a_command_knows_its_place() {
        let cli = parse("supervisor peers revoke 12ab --config /s.toml --json").expect("right");
        let command = cli.command.expect("one");
        assert_eq!(command.place().config, Some("/s.toml".into()));
        assert!(command.place().json);
    }

    #[test]
    fn the_parser_is_whole() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
