//! The control socket: how commands on this machine reach a supervisor that runs. Who may is the file system's
//! decision, so nothing is asked there.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};

use crate::operator::api::{Complaint, ROOT};

const FILE: &str = "control.sock";

/// Listens there. Whoever has the store open calls this, so that a socket that is there already is a dead one's.
pub(crate) fn listen(state_dir: &Path) -> anyhow::Result<UnixListener> {
    let path = state_dir.join(FILE);
    // Open to its owner alone from the first moment that it has its name.
    let unready = path.with_extension("new");
    let bound = remove(&unready).and_then(|()| {
        let listener = UnixListener::bind(&unready)?;
        std::fs::set_permissions(&unready, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&unready, &path)?;
        Ok(listener)
    });
    bound.with_context(|| format!("cannot listen on {}", path.display()))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A supervisor that runs, as a command sees it.
pub(crate) struct Client {
    path: PathBuf,
    requests: SendRequest<Full<Bytes>>,
}

impl Client {
    /// None when no supervisor runs.
    pub(crate) async fn connect(state_dir: &Path) -> anyhow::Result<Option<Self>> {
        use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
        let path = state_dir.join(FILE);
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => return Ok(None),
            Err(error) if error.kind() == PermissionDenied => bail!(
                "no permission to use {}: run this as root, or as the user that the supervisor runs as",
                path.display()
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot reach {}", path.display()));
            }
        };
        let (requests, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Some(Self { path, requests }))
    }

    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<T> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        content: &impl Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(content)?.into();
        self.call(Method::POST, path, body).await
    }

    async fn call<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<T> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{ROOT}/{path}"))
            .header(header::HOST, "supervisor")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let lost = || format!("the supervisor at {} does not answer", self.path.display());
        let answer = self
            .requests
            .send_request(request)
            .await
            .with_context(lost)?;
        let status = answer.status();
        let body = answer.into_body().collect().await.with_context(lost)?;
        read(status, &body.to_bytes())
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> anyhow::Result<T> {
    if status.is_success() {
        return serde_json::from_slice(body).context("the supervisor is of another version");
    }
    let complaint: Result<Complaint, _> = serde_json::from_slice(body);
    Err(complaint.map_or_else(
        |_| anyhow!("the supervisor says {status}"),
        |said| anyhow!(said.error),
    ))
}
