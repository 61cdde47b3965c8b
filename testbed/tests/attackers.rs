//! Those who try to harm a stream, against the real programs: each is turned away or left, and whoever watches goes
//! on watching.

use serde_json::Value;
use testbed::attacks::{ATTACKS, Scene};
use testbed::audience::Audience;
use testbed::measure::lies::{ACCUSED, Chain, Lie, lie, lie_to_two_networks};
use testbed::measure::siege::siege;
use testbed::stage::{Stage, TEST_PICTURE};

/// Those who watch while others attack. `measure attacks` does it with fifty.
const VIEWERS: u32 = 5;
/// A stall that an attack makes comes each time; one that a busy machine makes does not.
const TRIES: usize = 3;

#[test]
fn whoever_comes_by_signalling_without_a_right_to_is_turned_away_and_no_viewer_notices()
-> anyhow::Result<()> {
    let mut scene = Scene::new(VIEWERS)?;
    for attack in &ATTACKS {
        let mut stalled = 0;
        for _ in 0..TRIES {
            let (before, after) = scene.suffers(attack)?;
            println!("{}: {before:?}, then {after:?}", attack.name);
            assert_eq!(after.playing, VIEWERS as usize, "{}", attack.name);
            assert!(scene.stands(), "{}", attack.name);
            if after.stalls == before.stalls {
                break;
            }
            stalled += 1;
            scene = Scene::new(VIEWERS)?;
        }
        assert!(
            stalled < TRIES,
            "{}: viewers stalled each time",
            attack.name
        );
    }
    Ok(())
}

#[test]
fn a_relay_that_is_revoked_loses_its_children_and_they_watch_on_below_another() -> anyhow::Result<()>
{
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let relay = stage.relay("first", 50_000)?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let audience = Audience::new(&stage, 2)?;
    let parent = audience.lines()[0]["parent"].clone();
    let name = parent.as_str().unwrap_or_default();
    assert!(relay.log().contains(name), "they are below the relay");
    let _second = stage.relay("second", 50_000)?;

    stage.revoke("first")?;

    audience.until("another parent", |line| {
        line["parent"].is_string() && line["parent"] != parent
    })?;
    audience.watches_on(100_000)?;
    relay.wait_for_log("revoked")?;
    Ok(())
}

#[test]
fn a_revoked_relay_that_goes_on_with_its_certificate_is_left_by_its_children_and_gets_no_others()
-> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let mut deaf = stage.liar("deaf", 50_000)?;
    let name = deaf.wait_for_line("its name", |line| line["peer"].is_string())?["peer"].clone();
    let audience = Audience::new(&stage, 2)?;
    for viewer in audience.lines() {
        assert_eq!(viewer["parent"], name, "{viewer}");
    }
    let _second = stage.relay("second", 50_000)?;
    stage.revoke("liar")?;

    let is_fed_by_another = |line: &Value| line["parent"].is_string() && line["parent"] != name;
    audience.until("another parent", is_fed_by_another)?;
    audience.watches_on(250_000)?;
    let newcomer = stage.receiver("newcomer", &["--stream", "test"])?;
    newcomer.wait_for_line("it plays below another", |line| {
        line["playing"] == true && is_fed_by_another(line)
    })?;
    assert!(deaf.is_running(), "{}", deaf.log());
    Ok(())
}

#[test]
fn a_relay_that_is_revoked_while_the_supervisor_is_down_is_left_by_its_children_when_it_is_back()
-> anyhow::Result<()> {
    let stage = Stage::new()?;
    let mut supervisor = stage.supervisor()?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let deaf = stage.liar("deaf", 50_000)?;
    let name = deaf.wait_for_line("its name", |line| line["peer"].is_string())?["peer"].clone();
    let audience = Audience::new(&stage, 2)?;
    for viewer in audience.lines() {
        assert_eq!(viewer["parent"], name, "{viewer}");
    }
    let _second = stage.relay("second", 50_000)?;
    supervisor.kill();
    stage.revoke("liar")?;
    audience.watches_on(50_000)?; // still from the relay that nobody could tell of

    let _supervisor = stage.supervisor()?;
    audience.until("another parent", |line| {
        line["parent"].is_string() && line["parent"] != name
    })?;
    audience.watches_on(250_000)
}

#[test]
fn a_relay_that_two_networks_accuse_is_put_out_for_good() -> anyhow::Result<()> {
    let log = lie_to_two_networks("alter")?;
    assert_eq!(log.matches(ACCUSED).count(), 2, "{log}");
    Ok(())
}

/// Those below the liar find out, and are fed by an honest relay soon.
fn is_left(trick: &str) -> anyhow::Result<()> {
    let Lie {
        viewers,
        liar,
        accusations,
        evicted,
        ..
    } = lie(trick, 2)?;
    for viewer in viewers {
        assert_eq!(viewer["playing"], true, "{viewer}");
        assert_ne!(viewer["parent"], liar, "it did not come back to the liar");
    }
    // All accusers are at one address, and one alone gets nobody evicted: it may lie itself.
    assert!(!evicted);
    let forges = matches!(trick, "alter" | "renumber" | "splice" | "forge");
    assert_eq!(accusations, usize::from(forges), "{trick} is logged once");
    Ok(())
}

/// What it does is no lie, or not one that does harm.
fn is_kept(trick: &str) -> anyhow::Result<()> {
    let Lie { viewers, liar, .. } = lie(trick, 2)?;
    for viewer in viewers {
        assert_eq!(
            (&viewer["parent"], &viewer["playing"]),
            (&liar, &Value::from(true))
        );
    }
    Ok(())
}

#[test]
fn a_relay_that_alters_a_byte_loses_its_children_and_the_picture_goes_on() -> anyhow::Result<()> {
    is_left("alter")
}

#[test]
fn a_relay_that_renumbers_chunks_loses_its_children_and_the_picture_goes_on() -> anyhow::Result<()>
{
    is_left("renumber")
}

#[test]
fn a_relay_that_splices_another_stream_in_loses_its_children_and_the_picture_goes_on()
-> anyhow::Result<()> {
    is_left("splice")
}

#[test]
fn a_relay_that_forges_with_the_right_stream_key_loses_its_children_and_the_picture_goes_on()
-> anyhow::Result<()> {
    is_left("forge")
}

#[test]
fn a_relay_that_sends_garbage_loses_its_children_and_the_picture_goes_on() -> anyhow::Result<()> {
    is_left("garbage")?;
    is_left("garbage-control")
}

#[test]
fn a_relay_whose_certificate_has_ended_loses_its_children_and_the_picture_goes_on()
-> anyhow::Result<()> {
    is_left("expired")
}

/// What comes of the test picture and its sound in 22 s.
const TWO_LIVES_OF_A_CERTIFICATE: u64 = 22 * 460_000 / 8;

#[test]
fn honest_peers_have_new_certificates_before_theirs_end_and_keep_their_links() -> anyhow::Result<()>
{
    let stage = Stage::with_certificates_of(10)?;
    let _supervisor = stage.supervisor()?;
    let relay = stage.relay("relay", 50_000)?;
    let broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let audience = Audience::new(&stage, 2)?;
    audience.watches_on(TWO_LIVES_OF_A_CERTIFICATE)?;
    for log in [relay.log(), broadcaster.log(), audience.log()] {
        assert!(!log.contains("certificate"), "{log}");
    }
    for viewer in audience.lines() {
        assert_eq!(viewer["playing"], true, "{viewer}");
    }
    Ok(())
}

#[test]
fn a_relay_that_shows_a_receivers_certificate_gets_no_children() -> anyhow::Result<()> {
    is_left("borrowed")
}

#[test]
fn a_relay_that_changes_the_order_or_says_things_twice_keeps_its_children_which_play_on()
-> anyhow::Result<()> {
    is_kept("reorder")?;
    is_kept("replay")
}

#[test]
fn viewers_below_a_relay_that_checks_notice_nothing_of_the_liar_above_it() -> anyhow::Result<()> {
    let chain = Chain::new("alter", 1.0)?;
    chain.lies()?;
    chain.relay().wait_for_log("the chunk's digest is wrong")?;
    chain.audience().watches_on(500_000)?;
    let log = chain.audience().log();
    assert!(!log.contains("digest"), "{log}");
    Ok(())
}

/// A chain whose viewers have left the relay, which passed lies on to them. On a busy machine a relay may take the liar for
/// dead and go to the broadcaster, as it should: that shows nothing of lies.
fn lied_to(trick: &str, flaw: &str) -> anyhow::Result<Chain> {
    for _ in 0..TRIES {
        let chain = Chain::new(trick, 0.0)?;
        let viewers = chain.audience();
        let relay = viewers.lines().last().map(|line| line["parent"].clone());
        chain.lies()?;
        let went_around =
            |line: &Value| line["depth"] == 2 && Some(&line["parent"]) == relay.as_ref();
        let found_out = || viewers.log().contains(flaw);
        viewers.until(
            "they find it out, or are not fed through the liar",
            |line| found_out() || went_around(line),
        )?;
        if found_out() {
            return Ok(chain);
        }
        println!("the relay left the liar by itself: once more");
    }
    anyhow::bail!("the relay left the liar by itself each time")
}

#[test]
fn viewers_below_a_relay_that_checks_nothing_show_nothing_that_was_altered() -> anyhow::Result<()> {
    for (trick, flaw) in [
        ("alter", "the chunk's digest is wrong"),
        ("forge", "signature"),
    ] {
        // Each of them refuses what it gets, and plays on once there is a way around the liar.
        let mut chain = lied_to(trick, flaw)?;
        assert!(
            !chain.relay().log().contains("link lost: the chunk's"),
            "it looked"
        );
        chain.is_rid_of_it();
        chain.audience().watches_on(500_000)?;
    }
    Ok(())
}

#[test]
fn handshakes_left_hanging_by_the_thousand_bother_no_viewer_and_no_newcomer() -> anyhow::Result<()>
{
    let seen = siege(1_000, 5)?;
    assert_eq!((seen.hanging, seen.after.playing), (1_000, 5));
    Ok(())
}
