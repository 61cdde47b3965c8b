//! What a person meets on the first day: a service whose supervisor is not there, whose port is taken, whose
//! GStreamer lacks a part. Real programs; what is looked at is what they say.

use std::net::UdpSocket;
use std::path::Path;

use serde_json::Value;
use testbed::stage::{Stage, make_film};

const TEST_PICTURE: &str = "[[stream]]\nname = \"test\"\nsource = \"test\"\n";

#[test]
fn a_relay_started_before_its_supervisor_says_so_and_is_taken_in_when_it_comes()
-> anyhow::Result<()> {
    let stage = Stage::new()?;
    let relay = stage.relay_alone("early", "")?;
    relay.wait_for_log("is not there")?;
    assert!(relay.log().contains("trying again"), "{}", relay.log());
    let _supervisor = stage.supervisor()?;
    relay.wait_for_log("took this relay in")?;
    Ok(())
}

#[test]
fn a_wrong_key_ends_each_service_with_its_line_and_the_keys_there_are() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let relay = stage.relay_alone("misspelt", "uplink_kbs = 4\n")?;
    let broadcaster = stage.broadcaster_in(&[], &format!("uplink_kbs = 4\n{TEST_PICTURE}"))?;
    for mut service in [relay, broadcaster] {
        assert!(!service.wait_for_end()?);
        let log = service.log();
        assert!(log.contains("unknown field `uplink_kbs`"), "{log}");
        assert!(log.contains("`uplink_kbps`"), "{log}");
        assert!(log.ends_with("\n  uplink_kbs = 4\n  ^\n"), "{log}");
    }
    Ok(())
}

#[test]
fn a_udp_port_that_is_taken_is_named() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let taken = UdpSocket::bind(("0.0.0.0", 0))?;
    let port = taken.local_addr()?.port();
    let mut relay = stage.relay_alone("second", &format!("udp_port = {port}\n"))?;
    assert!(!relay.wait_for_end()?);
    let log = relay.log();
    assert!(
        log.contains(&port.to_string()) && log.contains("in use"),
        "{log}"
    );
    Ok(())
}

#[test]
fn an_address_that_this_machine_has_not_is_named() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let mut relay = stage.relay_alone("elsewhere", "udp_address = \"198.51.100.1\"\n")?;
    assert!(!relay.wait_for_end()?);
    let log = relay.log();
    assert!(
        log.contains("198.51.100.1") && log.contains("assign"),
        "{log}"
    );
    Ok(())
}

#[test]
fn a_broadcaster_without_gstreamers_plugins_names_the_package_to_install() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let nothing = stage.folder().join("nothing");
    std::fs::create_dir(&nothing)?;
    let path = nothing.to_string_lossy().into_owned();
    let registry = nothing.join("registry").to_string_lossy().into_owned();
    let environment = [
        ("GST_PLUGIN_SYSTEM_PATH_1_0", path),
        ("GST_REGISTRY_1_0", registry),
    ];
    let mut broadcaster = stage.broadcaster_in(&environment, TEST_PICTURE)?;
    assert!(!broadcaster.wait_for_end()?);
    let log = broadcaster.log();
    let words = "install the Debian package gstreamer1.0-plugins-";
    assert!(log.contains(words), "{log}");
    Ok(())
}

/// A stream that plays a film.
fn plays(name: &str, film: &Path) -> String {
    format!("[[stream]]\nname = {name:?}\nsource = {{ kind = \"file\", path = {film:?} }}\n")
}

#[test]
fn a_film_that_is_damaged_or_has_few_key_frames_plays_and_its_owner_is_told() -> anyhow::Result<()>
{
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let [whole, cut, spoilt] = ["whole", "cut", "spoilt"].map(|name| stage.folder().join(name));
    make_film(
        &whole,
        (100, "25/1"),
        "vp8enc deadline=1 keyframe-max-dist=90 ! webmmux",
    )?;
    let mut bytes = std::fs::read(&whole)?;
    std::fs::write(&cut, &bytes[..bytes.len() / 2])?;
    let half = bytes.len() / 2;
    bytes[half..].fill(0xFF);
    std::fs::write(&spoilt, bytes)?;
    let streams = [("whole", &whole), ("cut", &cut), ("spoilt", &spoilt)]
        .map(|(name, film)| plays(name, film));
    let broadcaster = stage.broadcaster(&streams.concat())?;
    for (film, words) in [
        (&whole, "its key frames are more than 2 s apart"),
        (
            &cut,
            "ends after 1 s: it is damaged there, or was cut short",
        ),
        (
            &spoilt,
            "ends after 2 s: it is damaged there, or was cut short",
        ),
    ] {
        broadcaster.wait_for_log(words)?;
        let log = broadcaster.log();
        let told = log.lines().find(|line| line.contains(words));
        let told = told.is_some_and(|line| line.contains(&film.display().to_string()));
        assert!(told, "{log}");
    }
    for name in ["whole", "cut", "spoilt"] {
        let viewer = stage.receiver(name, &["--stream", name])?;
        let thrice = |line: &Value| line["bytes_down"].as_u64() > Some(3 * half as u64);
        viewer.wait_for_line("it plays, again and again", |line| {
            line["playing"] == true && thrice(line)
        })?;
    }
    let told = broadcaster.log().matches("cut short").count();
    assert_eq!(told, 2, "{}", broadcaster.log());
    Ok(())
}

#[test]
fn a_broadcaster_started_before_its_supervisor_says_so_and_is_on_the_air_when_it_comes()
-> anyhow::Result<()> {
    let stage = Stage::new()?;
    let broadcaster = stage.broadcaster_in(&[], TEST_PICTURE)?;
    broadcaster.wait_for_log("is not there")?;
    assert!(
        broadcaster.log().contains("trying again"),
        "{}",
        broadcaster.log()
    );
    let _supervisor = stage.supervisor()?;
    broadcaster.wait_for_log("sending \"test\"")?;
    Ok(())
}

#[test]
fn streams_that_cannot_start_say_why_and_leave_the_others_alone() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let [words, theora] = ["words", "theora"].map(|name| stage.folder().join(name));
    std::fs::write(&words, "no film at all\n")?;
    make_film(&theora, (100, "25/1"), "theoraenc ! matroskamux")?;
    let missing = Path::new("/no/such.webm");
    let streams = [("missing", missing), ("words", &words), ("theora", &theora)];
    let streams = streams.map(|(name, film)| plays(name, film)).concat();
    let broadcaster = stage.broadcaster(&format!("{streams}{TEST_PICTURE}"))?;
    broadcaster.wait_for_log("opening /no/such.webm: No such file")?;
    broadcaster.wait_for_log("it is not a WebM file")?;
    broadcaster.wait_for_log("its video is Theora, but only VP8 and VP9 can be played")?;
    let viewer = stage.receiver("viewer", &["--stream", "test"])?;
    viewer.wait_for_line("it plays", |line| line["playing"] == true)?;
    Ok(())
}
