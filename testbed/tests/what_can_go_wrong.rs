//! What a person meets on the first day: a service whose supervisor is not there, whose port is taken, whose
//! GStreamer lacks a part. Real programs; what is looked at is what they say.

use std::net::UdpSocket;

use testbed::stage::Stage;

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
    assert!(log.contains("install the Debian package"), "{log}");
    Ok(())
}

#[test]
fn a_stream_that_cannot_start_leaves_the_others_alone() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let missing =
        "[[stream]]\nname = \"film\"\nsource = { kind = \"file\", path = \"/no/such.webm\" }\n";
    let broadcaster = stage.broadcaster(&format!("{missing}{TEST_PICTURE}"))?;
    broadcaster.wait_for_log("/no/such.webm")?;
    let viewer = stage.receiver("viewer", &["--stream", "test"])?;
    viewer.wait_for_line("it plays", |line| line["playing"] == true)?;
    Ok(())
}
