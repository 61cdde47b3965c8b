//! How the SD card's box lets its own relay and broadcaster in: the script that does it at each start, with the real
//! supervisor and a real relay.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::stage::{self, Stage};

/// What the script sees of the box.
fn root(stage: &Stage) -> anyhow::Result<PathBuf> {
    let root = stage.folder().join("box");
    let folder = root.join("etc/ownstream");
    std::fs::create_dir_all(&folder)?;
    let config = stage.folder().join("supervisor.toml");
    std::fs::copy(config, folder.join("supervisor.toml"))?;
    Ok(root)
}

/// The next start; gives the tokens that relay and broadcaster find then.
fn joins(root: &Path) -> anyhow::Result<[String; 2]> {
    let mut path = OsString::from(stage::programs()?);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/files/join");
    let ran = Command::new(script).arg(root).env("PATH", path).output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    anyhow::ensure!(ran.status.success(), "{said}");
    let token =
        |role| std::fs::read_to_string(root.join(format!("etc/ownstream/{role}.join-token")));
    Ok([token("relay")?, token("broadcaster")?])
}

#[test]
fn a_box_makes_its_own_services_new_tokens_until_they_are_in() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let root = root(&stage)?;
    let before = joins(&root)?;
    let [for_relay, for_broadcaster] = joins(&root)?;
    assert!(
        before[0] != for_relay && before[1] != for_broadcaster,
        "nobody has used the first ones, which may have run out"
    );
    let relay = stage.relay_with_token("relay", for_relay.trim())?;
    relay.wait_for_log("took this relay in")?;
    let after = joins(&root)?;
    assert_eq!(after[0], for_relay, "it is in");
    assert_ne!(after[1], for_broadcaster, "it is not in yet");
    Ok(())
}

#[test]
fn who_was_revoked_stays_out_and_who_has_no_token_gets_one() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let root = root(&stage)?;
    let [for_relay, _] = joins(&root)?;
    let relay = stage.relay_with_token("relay", for_relay.trim())?;
    relay.wait_for_log("took this relay in")?;
    stage.revoke("relay")?;
    let [still, _] = joins(&root)?;
    assert_eq!(still, for_relay, "a new token would let it in again");
    // As when the box has been with a supervisor elsewhere meanwhile.
    std::fs::remove_file(root.join("etc/ownstream/relay.join-token"))?;
    let [another, _] = joins(&root)?;
    assert!(another.starts_with("own1-") && another != for_relay);
    Ok(())
}
