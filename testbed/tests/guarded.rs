//! A supervisor on TLS, with a certificate of its own making, that takes RSA keys alone: everybody comes in all the
//! same, and nobody who should not. Real programs, real sockets.

use testbed::stage::{Stage, TEST_PICTURE};

#[test]
fn a_stream_plays_when_everybody_comes_by_tls_and_rsa() -> anyhow::Result<()> {
    let stage = Stage::guarded()?;
    let _supervisor = stage.supervisor()?;
    let relay = stage.relay("relay", 50_000)?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let viewer = stage.receiver("viewer", &["--stream", "test"])?;
    viewer.wait_for_line("it plays", |line| line["playing"] == true)?;
    assert!(relay.log().contains("making an RSA key of 2048 bits"));

    // Known by the key it has kept: a new one would be a stranger's.
    drop(relay);
    let again = stage.relay("relay", 50_000)?;
    assert!(
        !again.log().contains("making an RSA key"),
        "{}",
        again.log()
    );
    Ok(())
}

#[test]
fn who_cannot_check_the_certificate_or_has_no_rsa_key_is_told_what_to_do() -> anyhow::Result<()> {
    let stage = Stage::guarded()?;
    let _supervisor = stage.supervisor()?;

    let elliptic = stage.relay_that_says("elliptic", &stage.certificate_line())?;
    elliptic.wait_for_log("the supervisor refuses this relay")?;
    assert!(
        elliptic.log().contains("suites = [\"rsa\"]"),
        "{}",
        elliptic.log()
    );

    let blind = stage.relay_that_says("blind", "suites = [\"rsa\"]\n")?;
    blind.wait_for_log("put that into supervisor_certificate")?;

    let another = format!("supervisor_certificate = {:?}\n", ["AB"; 32].join(":"));
    let misled = stage.relay_that_says("misled", &another)?;
    misled.wait_for_log("but supervisor_certificate says AB:AB")?;
    Ok(())
}
