//! The description of the API, OpenAPI 3.1: made from the very table that the router is made from.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::endpoints::{ENDPOINTS, Endpoint, Who};

pub(super) async fn serve() -> Response {
    Json(description()).into_response()
}

fn description() -> Value {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method] = operation(endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "OwnStream supervisor",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "All that the monitor page can see and do. A session's cookie (POST /api/login) or a token \
                (`supervisor operator-token`) lets the operator in. Everything that is no success is answered by \
                {\"error\": words}. Ids are 32 hexadecimal digits; *_s are seconds and *_us microseconds since 1970, \
                or lengths of time where the name says what of."
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "session": { "type": "apiKey", "in": "cookie", "name": "ownstream_operator" },
                "token": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let content = |name: &str| {
        let media = if name == "Events" {
            "text/event-stream"
        } else {
            "application/json"
        };
        json!({ media: { "schema": { "$ref": format!("#/components/schemas/{name}") } } })
    };
    let parameters = endpoint.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
        )
    });
    let mut parameters: Vec<Value> = parameters.collect();
    if endpoint.gives == "Events" {
        parameters.push(json!({ "name": "stream", "in": "query", "schema": { "type": "string" } }));
    }
    let refused = json!({ "description": "why not", "content": content("Error") });
    let mut operation = json!({
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": "done", "content": content(endpoint.gives) },
            "4XX": refused,
            "503": refused,
        },
        "security": match endpoint.who {
            Who::Operator => json!([{ "session": [] }, { "token": [] }]),
            Who::Anybody => json!([]),
        },
    });
    if !endpoint.takes.is_empty() {
        operation["requestBody"] = json!({ "required": true, "content": content(endpoint.takes) });
    }
    operation
}

/// An object with these members: `name: type`, where a type that begins with a capital is another schema, `[]` behind
/// one is a list of it, and `?` behind one may be null.
fn object(members: &[&str]) -> Value {
    let mut properties = Map::new();
    for member in members {
        let (name, kind) = member.split_once(": ").unwrap_or((member, "string"));
        properties.insert(name.to_owned(), schema(kind));
    }
    json!({ "type": "object", "properties": properties })
}

fn schema(kind: &str) -> Value {
    if let Some(kind) = kind.strip_suffix('?') {
        return json!({ "anyOf": [schema(kind), { "type": "null" }] });
    }
    if let Some(kind) = kind.strip_suffix("[]") {
        return json!({ "type": "array", "items": schema(kind) });
    }
    match kind.starts_with(char::is_uppercase) {
        true => json!({ "$ref": format!("#/components/schemas/{kind}") }),
        false => json!({ "type": kind }),
    }
}

fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn schemas() -> Value {
    let all = [
        ("Object", json!({ "type": "object" })),
        ("Events", json!({ "type": "string" })),
        ("Error", object(&["error: string"])),
        ("Done", object(&["done: boolean"])),
        ("Password", object(&["password: string"])),
        ("Session", object(&["operator: boolean", "version: string"])),
        ("Streams", object(&["streams: Stream[]", "ended: Ended[]"])),
        ("Ended", object(&["stream: string", "name: string"])),
        (
            "Stream",
            object(&[
                "stream: string",
                "name: string",
                "tracks: Track[]",
                "kbps: integer",
                "access: Access",
                "live: boolean",
                "epoch: integer",
                "broadcaster: string",
                "topology: Topology",
                "allow_failures: boolean",
                "viewers: integer",
                "relays: integer",
                "depth: integer",
                "since_us: integer",
                "totals: Totals",
            ]),
        ),
        ("Track", object(&["track: string", "codec: string"])),
        ("Access", one_of(&["public", "invited"])),
        (
            "Topology",
            json!({
                "type": "object",
                "properties": {
                    "kind": one_of(&["relay-first", "tree", "linked-list"]),
                    "arity": { "type": "integer", "minimum": 1, "maximum": 255 },
                },
                "required": ["kind"],
            }),
        ),
        (
            "Totals",
            object(&[
                "joins: integer",
                "leaves: integer",
                "disconnections: integer",
                "takeovers: integer",
                "moves: integer",
                "stalls: integer",
                "stalled_ms: integer",
                "bytes_by_broadcaster: integer",
                "bytes_by_relays: integer",
                "bytes_by_viewers: integer",
                "latency_counts: integer[]",
                "latency_sum_ms: integer",
            ]),
        ),
        ("Tree", object(&["stream: Stream", "members: Member[]"])),
        (
            "Member",
            object(&[
                "peer: string",
                "component: Component",
                "name: string?",
                "software: string",
                "parent: string?",
                "backup: string?",
                "state: State",
                "since_us: integer",
                "report: Report?",
                "health: Health?",
            ]),
        ),
        ("Component", one_of(&["broadcaster", "relay", "receiver"])),
        ("State", one_of(&["well", "waiting", "silent", "away"])),
        (
            "Report",
            object(&[
                "depth: integer",
                "children: integer",
                "latency_ms: integer",
                "hold_ms: integer",
                "stalls: integer",
                "stalled_ms: integer",
                "down_kbps: integer",
                "up_kbps: integer",
                "bytes_up: integer",
            ]),
        ),
        (
            "Health",
            object(&[
                "board: string",
                "temperature_c: number",
                "throttled: boolean",
                "under_voltage: boolean",
                "under_voltage_once: boolean",
                "memory_free: integer",
                "memory_total: integer",
                "disk_free: integer",
                "disk_total: integer",
                "load: number",
                "wifi_dbm: integer",
                "uptime_s: integer",
                "encodings: Encoding[]",
            ]),
        ),
        (
            "Encoding",
            object(&[
                "stream: string",
                "encoder: string",
                "tried: TriedEncoder[]",
                "camera_away: boolean",
            ]),
        ),
        (
            "TriedEncoder",
            object(&[
                "encoder: string",
                "of: string",
                "works: boolean",
                "outcome: string",
            ]),
        ),
        ("Peers", object(&["peers: Present[]"])),
        (
            "Present",
            object(&[
                "peer: string",
                "component: Component",
                "name: string?",
                "software: string",
                "address: string?",
                "key: string?",
                "connected: boolean",
                "uplink_kbps: integer",
                "relays: boolean",
                "since_us: integer",
                "streams: string[]",
                "health: Health?",
            ]),
        ),
        ("Move", object(&["peer: string", "parent: string"])),
        ("Peer", object(&["peer: string"])),
        ("Name", object(&["name: string"])),
        ("Blocked", object(&["connected: integer"])),
        (
            "TrialPlan",
            object(&[
                "name: string",
                "distribution: Distribution",
                "rate: number",
                "seconds: integer",
                "how: Failure",
                "seed: integer?",
            ]),
        ),
        (
            "Distribution",
            json!({
                "type": "object",
                "properties": {
                    "kind": one_of(&["uniform", "binomial", "beta", "chi-squared", "poisson"]),
                    "trials": { "type": "integer" }, "probability": { "type": "number" },
                    "alpha": { "type": "number" }, "beta": { "type": "number" },
                    "freedom": { "type": "number" }, "mean_share": { "type": "number" },
                },
                "required": ["kind"],
            }),
        ),
        ("Failure", one_of(&["leave", "kill", "freeze"])),
        (
            "Trial",
            object(&[
                "plan: TrialPlan",
                "seed: integer",
                "began_s: integer",
                "phase: Phase",
                "failures: integer",
                "stalls: integer",
                "stalled_ms: integer",
                "average_ms: integer?",
                "samples: Sample[]",
                "lives: Life[]",
            ]),
        ),
        (
            "Phase",
            one_of(&["running", "settling", "done", "stopped", "interrupted"]),
        ),
        (
            "Sample",
            object(&[
                "at_ms: integer",
                "viewers: integer",
                "failures: integer",
                "stalls: integer",
                "stalled_ms: integer",
            ]),
        ),
        (
            "Life",
            object(&[
                "peer: string",
                "failed: boolean",
                "stalls: integer",
                "stalled_ms: integer",
            ]),
        ),
        ("Role", one_of(&["broadcaster", "relay"])),
        ("Tokens", schema("TokenRow[]")),
        (
            "TokenRow",
            object(&[
                "id: string",
                "role: Role",
                "made_s: integer",
                "expires_s: integer",
                "used_by: string?",
            ]),
        ),
        (
            "TokenRequest",
            object(&["role: Role", "expires_in_s: integer"]),
        ),
        (
            "TokenMade",
            object(&["token: string", "role: Role", "expires_s: integer"]),
        ),
        ("Enrolled", schema("EnrolledPeer[]")),
        (
            "EnrolledPeer",
            object(&[
                "fingerprint: string",
                "role: Role",
                "name: string",
                "enrolled_s: integer",
                "revoked_s: integer?",
            ]),
        ),
        (
            "Revoked",
            object(&[
                "fingerprint: string",
                "role: Role",
                "name: string",
                "connected: integer?",
            ]),
        ),
        (
            "InvitationRequest",
            object(&["stream: string", "expires_in_s: integer"]),
        ),
        (
            "Invitation",
            object(&[
                "id: string",
                "link: string",
                "invitation: string",
                "not_after_s: integer",
            ]),
        ),
        ("History", object(&["moments: Moment[]"])),
        (
            "Moment",
            object(&[
                "at_us: integer",
                "viewers: integer",
                "p50_ms: integer?",
                "p99_ms: integer?",
                "stalls: integer",
                "disconnections: integer",
                "takeovers: integer",
                "broadcaster_kbps: integer",
                "relays_kbps: integer",
                "viewers_kbps: integer",
            ]),
        ),
        ("Blocks", schema("BlockRow[]")),
        (
            "BlockRow",
            object(&[
                "fingerprint: string",
                "component: Component",
                "name: string?",
                "software: string",
                "since_s: integer",
            ]),
        ),
        (
            "Lifted",
            object(&[
                "fingerprint: string",
                "component: Component",
                "name: string?",
            ]),
        ),
        ("Invitations", schema("InvitationRow[]")),
        (
            "InvitationRow",
            object(&[
                "id: string",
                "stream: string",
                "name: string",
                "made_s: integer",
                "not_after_s: integer",
                "revoked_s: integer?",
                "watching: integer?",
            ]),
        ),
        (
            "InvitationRevoked",
            object(&["id: string", "name: string", "watching: integer?"]),
        ),
    ];
    let named = all
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema));
    Value::Object(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    found.push(to.clone());
                }
                members
                    .values()
                    .for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn what_the_description_refers_to_is_in_it_and_nothing_in_it_is_idle() {
        let description = description();
        let mut used = Vec::new();
        references(&description, &mut used);
        for to in &used {
            let pointer = to.trim_start_matches('#');
            assert!(description.pointer(pointer).is_some(), "{to}");
        }
        for name in description["components"]["schemas"]
            .as_object()
            .expect("an object")
            .keys()
        {
            let to = format!("#/components/schemas/{name}");
            assert!(used.contains(&to), "nobody uses {name}");
        }
    }

    #[test]
    fn each_path_is_there_once_for_each_method() {
        let mut all: Vec<_> = ENDPOINTS.iter().map(|e| (e.path, e.method)).collect();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
