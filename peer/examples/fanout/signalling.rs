//! How the receivers' descriptions reach the sender and back: lines of JSON over TCP.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// One receiver's line to the sender.
pub(crate) struct Signals {
    lines: Lines<BufReader<OwnedReadHalf>>,
    out: OwnedWriteHalf,
}

impl Signals {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (read, out) = stream.into_split();
        Self {
            lines: BufReader::new(read).lines(),
            out,
        }
    }

    pub(crate) async fn tell(&mut self, kind: &str, text: &str) {
        let line = format!("{}\n", json!({ "kind": kind, "text": text }));
        let _ = self.out.write_all(line.as_bytes()).await;
    }

    /// The next line's kind and text. `None` when the other side is done.
    pub(crate) async fn next(&mut self) -> Option<(String, String)> {
        let line = self.lines.next_line().await.ok()??;
        let value: Value = serde_json::from_str(&line).ok()?;
        let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Some((word("kind"), word("text")))
    }
}
