//! Another program that speaks WebRTC, and does not keep to what our peers have agreed on.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use peer::transport::{Role, Transport, TransportEvent};
use protocol::id::LinkId;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCPeerConnectionIceEvent,
    RTCSessionDescription, SettingEngineBuilder,
};

use crate::ends::End;

struct Handler(mpsc::UnboundedSender<String>);

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let init = event.candidate.to_json().expect("its own candidate");
        let _ = self.0.send(serde_json::to_string(&init).expect("JSON"));
    }
}

pub(crate) struct Stranger {
    connection: Arc<dyn PeerConnection>,
    channels: Vec<(String, Arc<dyn DataChannel>)>,
    candidates: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
}

impl Stranger {
    /// One that offers these channels.
    pub(crate) async fn new(labels: &[&str]) -> Self {
        let (sender, candidates) = mpsc::unbounded_channel();
        let settings = SettingEngineBuilder::new()
            .with_include_loopback_candidate(true)
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_setting_engine(settings)
            .with_handler(Arc::new(Handler(sender)))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await
            .expect("built");
        let mut channels = Vec::new();
        for label in labels {
            let channel = connection
                .create_data_channel(label, None)
                .await
                .expect("a channel");
            channels.push(((*label).to_owned(), channel));
        }
        let candidates = tokio::sync::Mutex::new(candidates);
        Self {
            connection: Arc::new(connection),
            channels,
            candidates,
        }
    }

    /// Connects to a transport of ours.
    pub(crate) async fn connect(&self, transport: &dyn Transport) -> End {
        let offer = self.connection.create_offer(None).await.expect("an offer");
        let (sender, events) = mpsc::channel(256);
        let role = Role::Answer {
            offer: offer.sdp.clone(),
        };
        self.connection
            .set_local_description(offer)
            .await
            .expect("its own offer");
        let connection = transport
            .open(LinkId(1), role, sender)
            .await
            .expect("an answer");
        let mut end = End { connection, events };
        let mut candidates = self.candidates.lock().await;
        loop {
            tokio::select! {
                Some(candidate) = candidates.recv() => {
                    end.connection.add_candidate(candidate).await.expect("a good candidate");
                }
                event = end.next() => match event {
                    TransportEvent::LocalDescription(sdp) => {
                        // It does not care how long a message may be at most.
                        let limit = "a=max-message-size:";
                        let said = sdp.lines().find(|line| line.starts_with(limit));
                        let said = said.expect("it says a limit");
                        let limitless = sdp.replace(said, &format!("{limit}262144"));
                        let answer = RTCSessionDescription::answer(limitless).expect("an answer");
                        let set = self.connection.set_remote_description(answer).await;
                        set.expect("a good answer");
                    }
                    TransportEvent::LocalCandidate(json) => {
                        let init = serde_json::from_str(&json).expect("JSON");
                        self.connection.add_ice_candidate(init).await.expect("a good candidate");
                    }
                    TransportEvent::Open => return end,
                    other => panic!("{other:?} before the connection is open"),
                },
            }
        }
    }

    /// Sends that many bytes over the first channel of this label, once it is open.
    pub(crate) async fn send(&self, label: &str, bytes: usize) {
        let (_, channel) = self
            .channels
            .iter()
            .find(|(known, _)| known == label)
            .expect("known");
        while channel
            .ready_state()
            .await
            .is_ok_and(|state| state.to_string() != "open")
        {
            assert!(!matches!(
                channel.poll().await,
                None | Some(DataChannelEvent::OnClose)
            ));
        }
        channel.send(BytesMut::zeroed(bytes)).await.expect("sent");
    }
}
