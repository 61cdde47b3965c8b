//! The operator's endpoints.

use std::error::Error as _;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::LengthLimitError;
use log::error;
use serde::Serialize;

use super::api::{Complaint, InvitationRequest, PasswordRequest, ROOT, TokenRequest};
use super::guard::{Guard, check};
use super::{Office, OperatorError};

/// Bytes of a request's body. Guess: ours are below 500.
const BODY_LIMIT: usize = 4096;
/// What a client may take to send them. Guess, as the door's for the head: ten round trips over a bad mobile link.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Over TCP: for the operator.
pub(crate) fn guarded(office: Office, guard: Guard) -> Router {
    common(office).layer(from_fn_with_state(guard, check))
}

/// Over the control socket: for those whom the system lets at it.
pub(crate) fn unguarded(office: Office) -> Router {
    // Not over TCP: whoever finds a token must not be able to lock its owner out.
    let more = Router::new()
        .route(&at("operator-token"), post(operator_token))
        .route(&at("operator-password"), post(operator_password))
        .with_state(office.clone());
    common(office).merge(more)
}

fn common(office: Office) -> Router {
    Router::new()
        .route(&at("tokens"), get(tokens).post(create_token))
        .route(&at("peers"), get(peers))
        .route(&at("peers/{fingerprint}/revoke"), post(revoke))
        .route(&at("blocks"), get(blocks))
        .route(&at("blocks/{fingerprint}/lift"), post(lift))
        .route(&at("invitations"), get(invitations).post(invite))
        .route(&at("invitations/{id}/revoke"), post(revoke_invitation))
        .route(&at("{*nothing}"), axum::routing::any(nothing))
        .layer(from_fn(with_whole_body))
        .with_state(office)
}

fn at(path: &str) -> String {
    format!("{ROOT}/{path}")
}

/// Lets a request on to its endpoint when all of its body is there, and answers the one whose body is too long, or
/// takes too long. What is answered may take as long as it likes.
pub(crate) async fn with_whole_body(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_TIME, to_bytes(body, BODY_LIMIT)).await;
    let (status, words) = match body {
        Ok(Ok(body)) => {
            let request = Request::from_parts(head, Body::from(body));
            return next.run(request).await;
        }
        Ok(Err(error)) if is_too_long(&error) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "the request is too long")
        }
        Ok(Err(_)) => (StatusCode::BAD_REQUEST, "the request is broken off"),
        Err(_) => (
            StatusCode::REQUEST_TIMEOUT,
            "the request takes too long to come",
        ),
    };
    complaint(status, words.into())
}

fn is_too_long(error: &axum::Error) -> bool {
    let why = error.source();
    why.is_some_and(|why| why.is::<LengthLimitError>())
}

pub(crate) type Asked<T> = Result<Json<T>, JsonRejection>;

async fn tokens(State(office): State<Office>) -> Response {
    answer(office.tokens().await)
}

async fn create_token(State(office): State<Office>, asked: Asked<TokenRequest>) -> Response {
    match asked {
        Ok(Json(wish)) => answer(office.create_token(wish).await),
        Err(wrong) => complaint(wrong.status(), wrong.body_text()),
    }
}

async fn peers(State(office): State<Office>) -> Response {
    answer(office.peers().await)
}

async fn revoke(State(office): State<Office>, Path(prefix): Path<String>) -> Response {
    answer(office.revoke(&prefix).await)
}

async fn blocks(State(office): State<Office>) -> Response {
    answer(office.blocks().await)
}

async fn lift(State(office): State<Office>, Path(prefix): Path<String>) -> Response {
    answer(office.lift(&prefix).await)
}

async fn invite(State(office): State<Office>, asked: Asked<InvitationRequest>) -> Response {
    match asked {
        Ok(Json(wish)) => answer(office.invite(wish).await),
        Err(wrong) => complaint(wrong.status(), wrong.body_text()),
    }
}

async fn invitations(State(office): State<Office>) -> Response {
    answer(office.invitations().await)
}

async fn revoke_invitation(State(office): State<Office>, Path(prefix): Path<String>) -> Response {
    answer(office.revoke_invitation(&prefix).await)
}

async fn operator_password(
    State(office): State<Office>,
    asked: Asked<PasswordRequest>,
) -> Response {
    match asked {
        Ok(Json(wish)) => answer(office.set_password(wish).await),
        Err(wrong) => complaint(wrong.status(), wrong.body_text()),
    }
}

async fn operator_token(State(office): State<Office>) -> Response {
    answer(office.new_operator_token().await)
}

async fn nothing() -> Response {
    complaint(StatusCode::NOT_FOUND, "there is no such endpoint".into())
}

pub(crate) fn answer<T: Serialize>(result: Result<T, OperatorError>) -> Response {
    match result {
        Ok(content) => Json(content).into_response(),
        Err(error) => complaint(status(&error), error.to_string()),
    }
}

pub(crate) fn complaint(status: StatusCode, error: String) -> Response {
    (status, Json(Complaint { error })).into_response()
}

fn status(error: &OperatorError) -> StatusCode {
    match error {
        OperatorError::Wrong(_) => StatusCode::BAD_REQUEST,
        OperatorError::Unknown(_) => StatusCode::NOT_FOUND,
        OperatorError::Ambiguous(_) => StatusCode::CONFLICT,
        OperatorError::NotRunning => StatusCode::SERVICE_UNAVAILABLE,
        OperatorError::Store(error) => {
            error!("{error}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
