//! `ownstream.txt`, the one file by which a box without screen or keyboard is set up: what the script that reads it at
//! each start makes of it, in a folder that stands for the card.

use std::path::{Path, PathBuf};
use std::process::Command;

use toml::Table;

const TOKEN: &str = "own1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

struct Card(tempfile::TempDir);

impl Card {
    /// A card as it comes out of the image.
    fn new() -> Self {
        let card = Self(tempfile::tempdir().expect("a folder"));
        for folder in [
            "boot/firmware",
            "etc",
            "var/lib",
            "usr/share/zoneinfo/Europe",
        ] {
            std::fs::create_dir_all(card.path(folder)).expect("a folder");
        }
        for zone in ["UTC", "Europe/Berlin"] {
            card.write(&format!("usr/share/zoneinfo/{zone}"), "");
        }
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/ownstream.txt");
        let shipped = std::fs::read_to_string(shipped).expect("ownstream.txt");
        card.write("boot/firmware/ownstream.txt", &shipped);
        card
    }

    /// A card on which somebody left this instead.
    fn with(text: &str) -> Self {
        let card = Self::new();
        card.write("boot/firmware/ownstream.txt", text);
        card.start();
        card
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    fn write(&self, inside: &str, text: &str) {
        std::fs::write(self.path(inside), text).expect("a file");
    }

    fn read(&self, inside: &str) -> String {
        std::fs::read_to_string(self.path(inside)).unwrap_or_default()
    }

    fn start(&self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/files/settings");
        let ran = Command::new(script)
            .arg(self.0.path())
            .output()
            .expect("bash");
        let words = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{words}");
    }

    fn errors(&self) -> String {
        self.read("boot/firmware/ownstream-errors.txt")
    }

    fn table(&self, inside: &str) -> Table {
        self.read(inside).parse().expect("TOML")
    }
}

#[test]
fn the_file_as_it_comes_makes_a_box_that_is_everything_at_once() {
    let card = Card::new();
    card.start();
    assert_eq!(card.errors(), "");
    assert_eq!(card.read("etc/ownstream/role"), "all-in-one\n");
    assert_eq!(card.read("etc/hostname"), "ownstream\n");
    let broadcaster = card.table("etc/ownstream/broadcaster.toml");
    assert_eq!(
        broadcaster["supervisor"].as_str(),
        Some("ws://127.0.0.1:8080/peer")
    );
    assert_eq!(broadcaster["stream"][0]["source"].as_str(), Some("auto"));
    assert!(!card.path("etc/ssh/keys/root").exists());
}

#[test]
fn what_is_wrong_is_written_beside_it_in_words_with_its_line() {
    let card =
        Card::with("name = böx\ncolour = red\nwhat is this\ntime_zone = Europe/Berln\nname = b\n");
    let errors = card.errors();
    for words in [
        "line 1: name must be letters, digits and hyphens",
        "line 2: there is no setting colour; there are: name, wifi_country",
        "line 3: this is neither \"key = value\" nor a comment",
        "line 4: time_zone must be a place, as in Europe/Berlin",
        "line 5: name stands in line 1 already",
    ] {
        assert!(errors.contains(words), "{words} is not in\n{errors}");
    }
    assert_eq!(card.read("etc/hostname"), "ownstream\n");
}

#[test]
fn the_words_are_gone_once_it_is_right() {
    let card = Card::with("role = boss\n");
    assert!(
        card.errors()
            .contains("role must be all-in-one, broadcaster or relay")
    );
    card.write("boot/firmware/ownstream.txt", "role = all-in-one\n");
    card.start();
    assert_eq!(card.errors(), "");
}

#[test]
fn secrets_leave_the_card_once_they_are_in_use_and_stay_in_use() {
    let text = format!(
        "role = relay\r\nsupervisor = ws://192.0.2.7:8080/peer\r\njoin_token = {TOKEN}\r\n\
         wifi_country = DE\r\nwifi_network = Zu \"Haus\"\r\nwifi_password = geheim 123\r\n"
    );
    let card = Card::with(&text);
    assert_eq!(card.errors(), "");
    let left = card.read("boot/firmware/ownstream.txt");
    assert!(!left.contains(TOKEN) && !left.contains("geheim"), "{left}");
    assert_eq!(card.read("etc/ownstream/relay.join-token").trim(), TOKEN);
    // The same file again, with another name: what was taken out of it is still known.
    card.write(
        "boot/firmware/ownstream.txt",
        &left.replace("role", "name = attic\nrole"),
    );
    card.start();
    assert_eq!(card.errors(), "");
    let wifi = card.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf");
    assert!(
        wifi.contains("psk=\"geheim 123\"") && wifi.contains("country=DE"),
        "{wifi}"
    );
    assert!(wifi.contains("ssid=5a7520224861757322"), "{wifi}");
    assert_eq!(card.read("etc/hostname"), "attic\n");
}

#[test]
fn a_box_that_is_everything_again_forgets_the_token_of_the_supervisor_elsewhere_and_keeps_its_own()
{
    let card = Card::with(&format!(
        "role = broadcaster\nsupervisor = ws://192.0.2.7:8080/peer\njoin_token = {TOKEN}\n"
    ));
    card.write("boot/firmware/ownstream.txt", "role = all-in-one\n");
    card.start();
    let token = "etc/ownstream/broadcaster.join-token";
    assert_eq!(card.read(token), "", "this supervisor would not know it");
    card.write(token, "of this box's own supervisor\n");
    card.write("boot/firmware/ownstream.txt", "name = attic\n");
    card.start();
    assert_ne!(card.read(token), "");
}

#[test]
fn a_relay_that_knows_no_supervisor_starts_nothing_and_says_so() {
    let card = Card::with("role = relay\n");
    assert!(
        card.errors()
            .contains("line 1: supervisor must be given for a relay")
    );
    assert_eq!(card.read("etc/ownstream/role"), "none\n");
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    let card = Card::with("name = attic\n");
    std::fs::remove_file(card.path("etc/hostname")).expect("it was written");
    card.start();
    assert!(!card.path("etc/hostname").exists());
}

#[test]
fn a_file_of_anything_at_all_does_no_harm() {
    let noise = "=\u{0}\u{7f}$(touch /tmp/x)`id`'\"\\\n".repeat(2000);
    let card = Card::with(&noise);
    assert!(card.errors().contains("neither"));
    assert_eq!(card.read("etc/ownstream/role"), "all-in-one\n");
}

#[test]
fn a_key_of_ssh_lets_its_owner_in_and_without_it_nobody() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGfZ me@desk";
    let card = Card::with(&format!("ssh_key = {key}\n"));
    assert_eq!(card.read("etc/ssh/keys/root").trim(), key);
    card.write("boot/firmware/ownstream.txt", "ssh_key =\n");
    card.start();
    assert!(!card.path("etc/ssh/keys/root").exists());
}
