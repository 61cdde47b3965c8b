use super::*;

fn parse(text: &str) -> Result<Config, toml::de::Error> {
    toml::from_str(text)
}

fn source_of(source: &str) -> SourceConfig {
    let text = format!("[[stream]]\nname = \"a\"\nsource = {source}\n");
    parse(&text).expect("valid").streams.remove(0).source
}

/// The message and the line it points at.
fn error_of(text: &str) -> (String, usize) {
    let error = parse(text).expect_err("invalid");
    let before = &text[..error.span().expect("a place").start];
    let line = before.matches('\n').count() + 1;
    (error.message().to_owned(), line)
}

#[test]
fn a_stream_needs_no_more_than_a_name() {
    let config = parse("[[stream]]\nname = \"garden\"\n").expect("valid");
    assert_eq!(config.supervisor, "ws://127.0.0.1:8080/peer");
    assert_eq!(config.streams[0].source, SourceConfig::Auto);
    assert_eq!(config.streams[0].video.key_frame_interval_ms, 1000);
}

#[test]
fn every_kind_of_source_can_be_said() {
    assert_eq!(source_of("\"auto\""), SourceConfig::Auto);
    assert_eq!(source_of("{ kind = \"test\" }"), SourceConfig::Test);
    assert_eq!(
        source_of("{ kind = \"camera\", device = \"/dev/video2\", microphone = \"none\" }"),
        SourceConfig::Camera {
            device: Device::Path("/dev/video2".into()),
            microphone: Microphone::None
        }
    );
    assert_eq!(
        source_of("{ kind = \"file\", path = \"film.webm\", loop = false }"),
        SourceConfig::File {
            path: "film.webm".into(),
            repeat: false
        }
    );
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_the_keys_that_exist() {
    let (message, line) = error_of("[[stream]]\nname = \"a\"\n[stream.video]\nbitrat_kbps = 5\n");
    assert_eq!(line, 4);
    assert!(message.contains("unknown field `bitrat_kbps`"), "{message}");
    assert!(message.contains("`bitrate_kbps`"), "{message}");
}

#[test]
fn a_misspelt_key_of_a_source_is_named_with_its_line() {
    let (message, line) =
        error_of("[[stream]]\nname = \"a\"\nsource = { kind = \"camera\", devcie = \"auto\" }\n");
    assert_eq!(line, 3);
    assert!(message.contains("unknown field `devcie`"), "{message}");
    assert!(message.contains("`device`"), "{message}");
}

#[test]
fn an_unknown_kind_of_source_is_answered_with_those_there_are() {
    let (message, line) = error_of("[[stream]]\nname = \"a\"\nsource = \"screen\"\n");
    assert_eq!(line, 3);
    assert!(message.contains("\"camera\""), "{message}");
    let (message, _) = error_of("[[stream]]\nname = \"a\"\nsource = { kind = \"screen\" }\n");
    assert!(message.contains("`camera`"), "{message}");
}

#[test]
fn a_value_out_of_range_is_answered_with_the_range_and_its_own_line() {
    let (message, line) =
        error_of("[[stream]]\nname = \"a\"\n[stream.video]\nwidth = 640\nfps = 0\n");
    assert_eq!(
        (message.as_str(), line),
        ("0 is not from 1 to 120 frames per second", 5)
    );
    let (message, line) = error_of("uplink_kbps = -1\n[[stream]]\nname = \"a\"\n");
    assert_eq!(
        (message.as_str(), line),
        ("-1 is not from 32 to 100000000 kbit/s", 1)
    );
}

#[test]
fn an_odd_width_is_refused_with_the_reason() {
    let (message, _) = error_of("[[stream]]\nname = \"a\"\n[stream.video]\nwidth = 641\n");
    assert!(message.starts_with("641 is odd"), "{message}");
}

#[test]
fn two_streams_of_one_name_are_refused() {
    let (message, _) = error_of("[[stream]]\nname = \"a\"\n[[stream]]\nname = \"a\"\n");
    assert_eq!(
        message,
        "two streams are named \"a\", but names must differ"
    );
}

#[test]
fn a_file_without_streams_is_refused() {
    let error = parse("udp_port = 7000\n").expect_err("no stream");
    assert!(
        error.message().contains("missing field `stream`"),
        "{error}"
    );
}

#[test]
fn an_address_that_is_no_web_socket_is_refused_with_an_example() {
    let (message, line) = error_of("supervisor = \"http://x\"\n[[stream]]\nname = \"a\"\n");
    assert_eq!(line, 1);
    assert!(message.contains("ws://192.168.1.2:8080/peer"), "{message}");
}

#[test]
fn the_example_file_is_valid() {
    let text = include_str!("../../broadcaster.example.toml");
    let config = parse(text).expect("the example");
    assert_eq!(config.streams.len(), 1);
    // What the example leaves commented out must be valid too.
    let all: String = text
        .lines()
        .map(|line| line.strip_prefix("#= ").unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(
        parse(&all).expect("the example, all of it").streams.len(),
        3
    );
}
