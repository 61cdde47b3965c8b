//! Those who try to harm a stream, against the real programs: each is turned away or left, and whoever watches goes
//! on watching.

use serde_json::Value;
use testbed::attacks::{ATTACKS, Scene};
use testbed::measure::lies::{Chain, Lie, lie};
use testbed::measure::siege::siege;

#[test]
fn whoever_comes_by_signalling_without_a_right_to_is_turned_away_and_no_viewer_notices()
-> anyhow::Result<()> {
    let mut scene = Scene::new(5)?;
    for attack in &ATTACKS {
        let (before, after) = scene.suffers(attack)?;
        println!("{}: {before:?}, then {after:?}", attack.name);
        assert_eq!(after.playing, 5, "{}", attack.name);
        assert!(scene.stands(), "{}", attack.name);
    }
    Ok(())
}

/// Those below the liar find out, and are fed by an honest relay soon.
fn is_left(trick: &str) -> anyhow::Result<()> {
    let Lie {
        viewers,
        liar,
        evicted,
        ..
    } = lie(trick, 2)?;
    for viewer in viewers {
        assert_eq!(viewer["playing"], true, "{viewer}");
        assert_ne!(viewer["parent"], liar, "it did not come back to the liar");
    }
    // All accusers are at one address, and one alone gets nobody evicted: it may lie itself.
    assert!(!evicted);
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
    assert!(!chain.audience().log().contains("digest"));
    Ok(())
}

#[test]
fn viewers_below_a_relay_that_checks_nothing_show_nothing_that_was_altered() -> anyhow::Result<()> {
    for (trick, flaw) in [
        ("alter", "the chunk's digest is wrong"),
        ("forge", "signature"),
    ] {
        let mut chain = Chain::new(trick, 0.0)?;
        chain.lies()?;
        // Each of them refuses what it gets, and plays on once there is a way around the liar.
        chain
            .audience()
            .until("nobody feeds them", |line| line["parent"].is_null())?;
        chain.audience().wait_for_log(flaw)?;
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
