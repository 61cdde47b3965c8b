use daemon::config::trial::{spoilt, taken_or_refused_with_its_place};

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
        SourceConfig::Camera(CameraConfig {
            device: Device::Path("/dev/video2".into()),
            microphone: Microphone::None,
            ..CameraConfig::default()
        })
    );
    assert_eq!(
        source_of("{ kind = \"file\", path = \"film.webm\", loop = false }"),
        SourceConfig::File {
            path: "film.webm".into(),
            repeat: false
        }
    );
}

proptest::proptest! {
    #[test]
    fn whatever_a_file_says_it_is_taken_or_refused_with_its_place(
        at in proptest::arbitrary::any::<proptest::sample::Index>(),
        out in 0_usize..20,
        put in "-?[0-9]{1,24}|[\\[\\]{}=\"'\n.#,]{1,4}|true|nan|1e400|\"[^\"]{0,60}\"|.{0,12}",
    ) {
        let example = include_str!("../../broadcaster.example.toml").replace("\n#= ", "\n");
        let text = spoilt(&example, |of| at.index(of), out, &put);
        let folder = tempfile::tempdir().expect("a folder");
        let told = taken_or_refused_with_its_place(folder.path(), &text, |path| Config::load(path));
        proptest::prop_assert_eq!(told, Ok(()), "{}", text);
    }
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
fn a_cameras_controls_and_rotation_can_be_said() {
    let SourceConfig::Camera(camera) = source_of(
        "{ kind = \"camera\", rotation = 180, controls = { power_line_frequency = \"50 Hz\", gain = 7, focus_auto = false } }",
    ) else {
        panic!("not a camera")
    };
    assert_eq!(camera.rotation, Rotation::Half);
    let controls: Vec<_> = camera.controls.values().cloned().collect();
    let expected = [
        Setting::Switch(false),
        Setting::Number(7),
        Setting::Words("50 Hz".into()),
    ];
    assert_eq!(controls, expected);
    let (message, line) =
        error_of("[[stream]]\nname = \"a\"\nsource = { kind = \"camera\", rotation = 45 }\n");
    assert_eq!(line, 3);
    assert!(message.contains("must be 0, 90, 180 or 270"), "{message}");
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
fn keys_that_cannot_be_are_refused_at_their_line() {
    for (line, said) in [
        ("rsa_bits = 1024", "but must be 2048, 3072 or 4096"),
        ("suites = []", "must name \"elliptic\", \"rsa\" or both"),
        ("suites = [\"rsa\", \"rsa\"]", "each once"),
    ] {
        let (message, at) = error_of(&format!("udp_port = 0\n{line}\n[[stream]]\nname = \"a\"\n"));
        assert_eq!(at, 2, "{message}");
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn a_name_is_as_long_as_the_supervisor_takes_it_and_no_longer() {
    let named = |name: &str| format!("[[stream]]\nname = {name:?}\n");
    assert!(parse(&named(&"ж".repeat(50))).is_ok());
    let (message, line) = error_of(&named(&"ж".repeat(51)));
    assert_eq!(line, 2);
    assert!(
        message.contains("takes 102 bytes, but may take 100"),
        "{message}"
    );
}

#[test]
fn a_tree_is_binary_if_nothing_else_is_said_and_has_at_least_one_child_each() {
    let with = |topology: &str| format!("[[stream]]\nname = \"a\"\ntopology = {topology}\n");
    let config = parse(&with("{ kind = \"tree\" }")).expect("valid");
    let binary = protocol::signal::Topology::Tree { arity: 2 };
    assert_eq!(config.streams[0].topology, Some(binary));
    let (message, line) = error_of(&with("{ kind = \"tree\", arity = 0 }"));
    assert_eq!(
        (message.as_str(), line),
        ("arity is 0, but must be from 1 to 255", 3)
    );
}

#[test]
fn encoders_are_tried_in_the_order_given_and_unknown_ones_are_refused() {
    let with = |encoders: &str| {
        format!("[[stream]]\nname = \"a\"\n[stream.video]\nencoders = {encoders}\n")
    };
    let config = parse(&with("[\"vp8enc\", \"v4l2vp8enc\"]")).expect("valid");
    let order = config.streams[0].video.in_order();
    let names: Vec<_> = order.iter().map(|rung| rung.element).collect();
    assert_eq!(names, ["vp8enc", "v4l2vp8enc"]);
    for (encoders, said) in [
        ("[]", "at least one of"),
        ("[\"x265enc\"]", "\"x265enc\" is no encoder"),
        ("[\"camera\"]", "one beside \"camera\""),
    ] {
        let (message, line) = error_of(&with(encoders));
        assert_eq!(line, 4);
        assert!(
            message.contains(said) && message.contains("\"mppvp8enc\""),
            "{message}"
        );
    }
}

#[test]
fn what_is_preferred_is_tried_first_and_else_hardware_before_software() {
    let names = |settings: &str| {
        let text = format!("[[stream]]\nname = \"a\"\n[stream.video]\n{settings}\n");
        let config = parse(&text).expect("valid");
        let order = config.streams[0].video.in_order();
        let names = order.iter().map(|rung| rung.element.replace("enc", ""));
        names.collect::<Vec<_>>().join(" ")
    };
    let (vp8, h264) = (
        "v4l2vp8 mppvp8 vpu_vp8 vavp8",
        "camera v4l2h264 mpph264 vpu_h264 vah264",
    );
    let usual = format!("{vp8} {h264} vp8 openh264 x264");
    assert_eq!(names(""), usual);
    let wanted = format!("{vp8} vp8 {h264} openh264 x264");
    assert_eq!(names("prefer = \"vp8\""), wanted);
    let wanted = format!("{h264} openh264 x264 {vp8} vp8");
    assert_eq!(names("prefer = \"h264\""), wanted);
    let listed = "encoders = [\"vp8enc\", \"x264enc\"]";
    assert_eq!(names(&format!("{listed}\nprefer = \"h264\"")), "x264 vp8");
    let (message, line) = error_of("[[stream]]\nname = \"a\"\n[stream.video]\nprefer = \"av1\"\n");
    assert_eq!(line, 4);
    assert!(message.contains("`vp8` or `h264`"), "{message}");
}

#[test]
fn a_cameras_own_h264_comes_before_what_it_stands_before_and_else_not_at_all() {
    let own = |settings: &str, rung: &str| {
        let text = format!("[[stream]]\nname = \"a\"\n[stream.video]\n{settings}\n");
        let config = parse(&text).expect("valid");
        let rung = Rung::named(rung).expect("it is known");
        config.streams[0].video.own_before(rung)
    };
    assert!(own("", "vp8enc"));
    assert!(!own("", "v4l2vp8enc"));
    assert!(!own("prefer = \"vp8\"", "vp8enc"));
    assert!(!own("encoders = [\"vp8enc\"]", "vp8enc"));
    assert!(own("encoders = [\"camera\", \"v4l2vp8enc\"]", "v4l2vp8enc"));
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

/// The keys of the table that this text ends in, as the answer to one that is none of them names them.
fn keys_after(tables: &str) -> Vec<String> {
    let (message, _) = error_of(&format!("{tables}no_such_key = 1\n"));
    let quoted = message.split('`').skip(3).step_by(2);
    quoted.map(ToOwned::to_owned).collect()
}

#[test]
fn every_key_there_is_stands_in_the_example() {
    let stream = "[[stream]]\nname = \"a\"\n";
    let tables = [
        String::new(),
        stream.to_owned(),
        format!("{stream}[stream.video]\n"),
        format!("{stream}[stream.audio]\n"),
    ];
    let example = include_str!("../../broadcaster.example.toml");
    let stands = |key: &String| {
        let forms = [
            format!("{key} ="),
            format!("[[{key}]]"),
            format!("[stream.{key}]"),
        ];
        let mut lines = example
            .lines()
            .map(|l| l.trim_start_matches(['#', '=', ' ']));
        lines.any(|line| forms.iter().any(|form| line.starts_with(form)))
    };
    let keys: Vec<String> = tables.iter().flat_map(|table| keys_after(table)).collect();
    assert!(keys.len() > 20, "{keys:?}");
    let missing: Vec<_> = keys.into_iter().filter(|key| !stands(key)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn the_file_that_comes_with_the_unit_is_valid() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/broadcaster.toml");
    let packaged = Config::load(path).expect("valid");
    // What the unit's StateDirectory= makes.
    let made = Path::new("/var/lib/ownstream-broadcaster");
    assert_eq!(packaged.state_dir, made);
    assert_eq!(packaged.streams.len(), 1);
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
        4
    );
}
