//! Every endpoint below /api, once: the router and the description that is served are both made from this table.

use axum::routing::{MethodRouter, delete, get, post};

use super::{Monitor, actions, feed, looks, openapi, trials};

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Anybody,
    /// Whoever is logged in, or has the token.
    Operator,
}

/// One endpoint.
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) who: Who,
    /// What it does, in a line.
    pub(super) summary: &'static str,
    /// Names in `openapi::schemas`; empty where there is none.
    pub(super) takes: &'static str,
    pub(super) gives: &'static str,
    pub(super) handler: fn() -> MethodRouter<Monitor>,
    /// It is `operator::routes`' own, and only described here.
    pub(super) elsewhere: bool,
}

const fn endpoint(
    (method, path): (&'static str, &'static str),
    summary: &'static str,
    takes: &'static str,
    gives: &'static str,
    handler: fn() -> MethodRouter<Monitor>,
) -> Endpoint {
    Endpoint {
        method,
        path,
        who: Who::Operator,
        summary,
        takes,
        gives,
        handler,
        elsewhere: false,
    }
}

const fn open(endpoint: Endpoint) -> Endpoint {
    Endpoint {
        who: Who::Anybody,
        ..endpoint
    }
}

const fn described(
    (method, path): (&'static str, &'static str),
    summary: &'static str,
    takes: &'static str,
    gives: &'static str,
) -> Endpoint {
    Endpoint {
        elsewhere: true,
        ..endpoint((method, path), summary, takes, gives, MethodRouter::new)
    }
}

#[rustfmt::skip] // a table
pub(super) const ENDPOINTS: &[Endpoint] = &[
    open(endpoint(("get", "/api/openapi.json"), "This description.", "", "Object", || get(openapi::serve))),
    open(endpoint(("post", "/api/login"), "Log in with the operator's password; the answer sets the session's cookie.", "Password", "Done", || post(actions::log_in))),
    open(endpoint(("post", "/api/logout"), "End the session.", "", "Done", || post(actions::log_out))),
    open(endpoint(("get", "/api/session"), "Whether you are logged in.", "", "Session", || get(looks::session))),
    endpoint(("get", "/api/streams"), "All streams, and those that the operator has ended.", "", "Streams", || get(looks::streams)),
    endpoint(("get", "/api/streams/{stream}/tree"), "A stream and everybody in it, parents before their children.", "", "Tree", || get(looks::tree)),
    endpoint(("get", "/api/streams/{stream}/history"), "A stream's last quarter of an hour, in moments of five seconds, the oldest first.", "", "History", || get(looks::history)),
    endpoint(("get", "/api/peers"), "All peers that are here.", "", "Peers", || get(looks::peers)),
    endpoint(("get", "/api/events"), "Server-sent events: `streams`, and with ?stream=… `tree`, `change`, `happening` and `trial`.", "", "Events", || get(feed::serve)),
    endpoint(("post", "/api/streams/{stream}/move"), "Have a peer, with all below it, fed by another parent; make before break.", "Move", "Done", || post(actions::move_peer)),
    endpoint(("post", "/api/streams/{stream}/evict"), "Put a peer out of the stream; it may come back.", "Peer", "Done", || post(actions::evict)),
    endpoint(("post", "/api/streams/{stream}/topology"), "Arrange the stream's peers anew while it runs: topology, arity.", "Topology", "Done", || post(actions::rearrange)),
    endpoint(("post", "/api/streams/{stream}/end"), "End a stream; it stays off until it is allowed again.", "Name", "Done", || post(actions::end)),
    endpoint(("post", "/api/streams/{stream}/allow"), "Let a stream that was ended come back.", "", "Done", || post(actions::allow)),
    endpoint(("post", "/api/peers/{peer}/block"), "Put out whoever has this peer's key, until the block is lifted.", "", "Blocked", || post(actions::block)),
    endpoint(("get", "/api/streams/{stream}/failures"), "How the trial of failures goes, or how the last one went.", "", "Trial", || get(trials::show)),
    endpoint(("post", "/api/streams/{stream}/failures"), "Begin a trial of failures, in a stream that allows it.", "TrialPlan", "Trial", || post(trials::begin)),
    endpoint(("delete", "/api/streams/{stream}/failures"), "Stop the trial.", "", "Trial", || delete(trials::stop)),
    described(("get", "/api/operator/tokens"), "Join tokens that were made.", "", "Tokens"),
    described(("post", "/api/operator/tokens"), "Make a join token for a broadcaster or a relay.", "TokenRequest", "TokenMade"),
    described(("get", "/api/operator/peers"), "Broadcasters and relays that were enrolled.", "", "Enrolled"),
    described(("post", "/api/operator/peers/{fingerprint}/revoke"), "Let a broadcaster or a relay in no longer.", "", "Revoked"),
    described(("get", "/api/operator/blocks"), "Peers whose keys are blocked.", "", "Blocks"),
    described(("post", "/api/operator/blocks/{fingerprint}/lift"), "Let a blocked peer come in again.", "", "Lifted"),
    described(("get", "/api/operator/invitations"), "Links that were made: for which stream, until when, how many watch by them.", "", "Invitations"),
    described(("post", "/api/operator/invitations/{id}/revoke"), "Take a link back, by the first digits of its id: whoever came by it is put out.", "", "InvitationRevoked"),
    described(("post", "/api/operator/invitations"), "Make a link that lets its bearer watch.", "InvitationRequest", "Invitation"),
];
