//! What the monitor page, and any script, has from the supervisor: streams, trees, peers, events, and actions, as
//! JSON over HTTP. The page uses nothing else.
//!
//! Looking is asked for and answered; nothing here runs while nobody looks.

mod actions;
mod endpoints;
mod feed;
mod looks;
mod openapi;
mod trial;
mod trials;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use protocol::stream_manager::{StreamManager, Wish, WishError};
use tokio::sync::oneshot;

use crate::manager::{Event, Inbox};
use crate::news::News;
use crate::operator::Office;
use crate::operator::guard::{Guard, check};
use crate::operator::routes::{complaint, with_whole_body};
use endpoints::{ENDPOINTS, Who};
use trials::Trials;

/// What the handlers work with. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Monitor {
    inbox: Inbox,
    news: News,
    guard: Guard,
    office: Office,
    /// Whether the session's cookie is for https alone.
    secure: bool,
    trials: Trials,
    watchers: std::sync::Arc<tokio::sync::Semaphore>,
}

impl Monitor {
    pub(crate) fn new(
        inbox: Inbox,
        news: News,
        (guard, office): (Guard, Office),
        secure: bool,
    ) -> Self {
        Self {
            inbox,
            news,
            guard,
            office,
            secure,
            trials: Trials::default(),
            watchers: std::sync::Arc::new(tokio::sync::Semaphore::new(feed::WATCHERS)),
        }
    }

    /// All endpoints below /api, but for those below /api/operator.
    pub(crate) fn routes(self) -> Router {
        let add = |router: Router<Self>, who: Who| {
            let mine = ENDPOINTS
                .iter()
                .filter(|endpoint| endpoint.who == who && !endpoint.elsewhere);
            mine.fold(router, |router, endpoint| {
                router.route(endpoint.path, (endpoint.handler)())
            })
        };
        let guarded = add(Router::new(), Who::Operator)
            .layer(from_fn(with_whole_body))
            .layer(from_fn_with_state(self.guard.clone(), check)); // first: a stranger's body is not read
        let open = add(Router::new(), Who::Anybody)
            .route("/api/{*nothing}", axum::routing::any(nothing))
            .layer(from_fn(with_whole_body));
        guarded.merge(open).with_state(self)
    }

    /// What a look at the machine gives; none when the supervisor is ending.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&StreamManager) -> T + Send + 'static,
    ) -> Option<T> {
        let (ask, answer) = oneshot::channel();
        let look = Event::Look(Box::new(move |machine: &StreamManager| {
            let _ = ask.send(look(machine)); // or nobody waits for it any more
        }));
        self.inbox.send(look).await.ok()?;
        answer.await.ok()
    }

    /// Has it done; none when the supervisor is ending.
    async fn wish(&self, wish: Wish) -> Option<Result<(), WishError>> {
        let (ask, answer) = oneshot::channel();
        self.inbox.send(Event::Wish(wish, ask)).await.ok()?;
        answer.await.ok()
    }
}

async fn nothing() -> Response {
    complaint(
        StatusCode::NOT_FOUND,
        "there is no such endpoint: /api/openapi.json lists them".into(),
    )
}

fn ending() -> Response {
    complaint(
        StatusCode::SERVICE_UNAVAILABLE,
        "the supervisor is ending".into(),
    )
}
