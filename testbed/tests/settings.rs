//! `ownstream.txt`, the one file by which a box without screen or keyboard is set up: what the script that reads it at
//! each start makes of it, in a folder that stands for the card.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use toml::Table;

const FILE: &str = "boot/firmware/ownstream.txt";
const ERRORS: &str = "boot/firmware/ownstream-errors.txt";
/// Wi-Fi as it should be.
const HOME: &str = "wifi_country = DE\nwifi_network = Home\nwifi_password = geheim 123\n";
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
        card.write(FILE, &shipped);
        card
    }

    /// A card on which somebody left this instead.
    fn with(text: &str) -> Self {
        let card = Self::new();
        card.start_with(text);
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

    /// What somebody writes onto the card before the next start.
    fn start_with(&self, text: &str) {
        self.write(FILE, text);
        self.start();
    }

    fn start(&self) {
        let ran = self.try_to_start();
        let words = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{words}");
    }

    fn try_to_start(&self) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/files/settings");
        Command::new(script)
            .arg(self.0.path())
            .output()
            .expect("bash")
    }

    fn errors(&self) -> String {
        self.read(ERRORS)
    }

    fn wifi(&self) -> String {
        self.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf")
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
fn a_mistake_beside_a_password_leaves_it_on_the_card_until_it_is_in_use() {
    for mistake in [
        HOME.replace("DE", "de"),
        HOME.replace("DE", ""),
        HOME.replace("Home", &"Home".repeat(9)),
        HOME.replace("network", "netwrok"),
        HOME.replace("Home", ""),
    ] {
        let card = Card::with(&mistake);
        assert_ne!(card.errors(), "", "{mistake}");
        assert_eq!(card.wifi(), "", "{mistake}");
        assert_eq!(card.read(FILE), mistake, "it was never in use");
    }
    let card = Card::with(&HOME.replace("DE", "de"));
    card.start_with(&card.read(FILE).replace("de", "DE"));
    assert_eq!(card.errors(), "");
    assert!(
        card.wifi().contains("psk=\"geheim 123\""),
        "{}",
        card.wifi()
    );
    assert!(!card.read(FILE).contains("geheim"));
}

#[test]
fn a_box_in_its_wifi_stays_there_over_a_mistake() {
    let card = Card::with(HOME);
    let before = card.wifi();
    let left = card.read(FILE);
    for mistake in [
        left.replace("DE", "de"),
        left.replace("DE", ""),
        left.replace("Home", &"Home".repeat(9)),
        left.replace("wifi_network", "wifi_netwrok"),
        left.replace("wifi_network = Home", "Home"),
        left.replace("wifi_password =", "wifi_password = short"),
    ] {
        card.start_with(&mistake);
        assert_ne!(card.errors(), "", "{mistake}");
        assert_eq!(card.wifi(), before, "{mistake}");
    }
    card.start_with("wifi_network =\n");
    assert_eq!(card.wifi(), "", "that was no mistake");
}

#[test]
fn a_key_is_for_its_own_network_alone() {
    let card = Card::with(HOME);
    let before = card.wifi();
    let cafe = card.read(FILE).replace("Home", "Cafe");
    card.start_with(&cafe);
    assert!(
        card.errors()
            .contains("line 3: wifi_password must be given for a network that is new to the box"),
        "{}",
        card.errors()
    );
    assert_eq!(card.wifi(), before);
    card.start_with(&cafe.replace("wifi_password =", "wifi_password = of the cafe"));
    assert_eq!(card.errors(), "");
    let wifi = card.wifi();
    assert!(
        wifi.contains("ssid=43616665") && wifi.contains("psk=\"of the cafe\""),
        "{wifi}"
    );
}

#[test]
fn an_open_network_is_joined_only_where_the_file_says_none() {
    let open = "wifi_country = DE\nwifi_network = Cafe\n";
    let card = Card::with(open);
    assert!(
        card.errors().contains("none where the network is open"),
        "{}",
        card.errors()
    );
    assert_eq!(card.wifi(), "");
    card.start_with(&format!("{open}wifi_password = short\n"));
    assert!(
        card.errors().contains("must have 8 to 63 characters"),
        "{}",
        card.errors()
    );
    assert_eq!(card.wifi(), "");
    card.start_with(&format!("{open}wifi_password = none\n"));
    assert_eq!(card.errors(), "");
    assert!(card.wifi().contains("key_mgmt=NONE"), "{}", card.wifi());
}

#[test]
fn a_token_stays_on_the_card_until_it_is_in_use() {
    let text = format!(
        "role = Broadcaster\nsupervisor = ws://192.0.2.7:8080/peer\njoin_token = {TOKEN}\n"
    );
    let card = Card::with(&text);
    assert!(
        card.errors().contains("until then it is all-in-one"),
        "{}",
        card.errors()
    );
    assert_eq!(card.read(FILE), text);
    card.start_with(&text.replace("role = Broadcaster", "role = all-in-one"));
    assert!(
        card.errors()
            .contains("join_token is of no use to a box that is all-in-one"),
        "{}",
        card.errors()
    );
    assert!(card.read(FILE).contains(TOKEN));
    card.start_with(&text.replace('B', "b"));
    assert_eq!(card.errors(), "");
    assert!(!card.read(FILE).contains(TOKEN));
    assert_eq!(
        card.read("etc/ownstream/broadcaster.join-token").trim(),
        TOKEN
    );
}

#[test]
fn a_box_does_what_it_did_while_its_role_cannot_be_told() {
    let card = Card::with(&format!(
        "role = broadcaster\nsupervisor = ws://192.0.2.7:8080/peer\njoin_token = {TOKEN}\n"
    ));
    let left = card.read(FILE);
    for (mistake, words) in [
        (
            left.replace("= broadcaster", "= Broadcaster"),
            "until then the box does what it did",
        ),
        (
            left.replace("role", "rol"),
            "line 1: there is no setting rol",
        ),
    ] {
        card.start_with(&mistake);
        assert!(card.errors().contains(words), "{}", card.errors());
        assert_eq!(card.read("etc/ownstream/role"), "broadcaster\n");
        let broadcaster = card.table("etc/ownstream/broadcaster.toml");
        assert_eq!(
            broadcaster["supervisor"].as_str(),
            Some("ws://192.0.2.7:8080/peer")
        );
        let token = card.read("etc/ownstream/broadcaster.join-token");
        assert_eq!(token.trim(), TOKEN);
    }
}

#[test]
fn secrets_leave_the_card_whatever_an_editor_puts_before_them() {
    let card = Card::with(&format!(
        "\u{feff}  join_token={TOKEN}\r\nrole = relay\r\nsupervisor = ws://192.0.2.7:8080/peer\r\n"
    ));
    assert_eq!(card.errors(), "");
    assert!(!card.read(FILE).contains(TOKEN), "{}", card.read(FILE));
}

#[test]
fn a_password_too_many_is_told_of_and_stays_on_the_card() {
    let card = Card::with(&format!("{HOME}wifi_password = another one\n"));
    assert!(
        card.errors()
            .contains("line 4: wifi_password stands in line 3 already"),
        "{}",
        card.errors()
    );
    assert!(
        card.wifi().contains("psk=\"geheim 123\""),
        "{}",
        card.wifi()
    );
    let left = card.read(FILE);
    assert!(
        left.contains("another one") && !left.contains("geheim"),
        "{left}"
    );
}

#[test]
fn a_start_that_ends_before_the_card_is_written_is_done_again() {
    let card = Card::new();
    card.write(FILE, HOME);
    // Nothing can be written in place of the file.
    let in_the_way = card.path("boot/firmware/ownstream.txt.new");
    std::fs::create_dir(&in_the_way).expect("a folder");
    assert!(!card.try_to_start().status.success());
    assert_eq!(card.read(FILE), HOME);
    std::fs::remove_dir(&in_the_way).expect("it is there");
    card.start();
    assert_eq!(card.errors(), "");
    assert!(card.wifi().contains("psk="), "{}", card.wifi());
    assert!(!card.read(FILE).contains("geheim"));
}

#[test]
fn a_box_whose_file_is_lost_stays_as_it_was() {
    let card = Card::with(&format!(
        "name = attic\nrole = relay\nsupervisor = ws://192.0.2.7:8080/peer\njoin_token = {TOKEN}\n{HOME}"
    ));
    let before = card.wifi();
    for lost in ["", "\u{0}\u{0}\u{0}\n", "# nothing is set\n"] {
        card.start_with(lost);
        assert!(
            card.errors().contains("The box stays as it was"),
            "{lost:?}: {}",
            card.errors()
        );
    }
    std::fs::remove_file(card.path(FILE)).expect("it is there");
    card.start();
    assert!(card.errors().contains("write it anew"), "{}", card.errors());
    assert_eq!(card.wifi(), before);
    assert_eq!(card.read("etc/hostname"), "attic\n");
    assert_eq!(card.read("etc/ownstream/role"), "relay\n");
    assert_eq!(card.read("etc/ownstream/relay.join-token").trim(), TOKEN);
}

#[test]
fn a_new_card_without_the_file_makes_a_box_that_is_everything_and_says_so() {
    let card = Card::new();
    std::fs::remove_file(card.path(FILE)).expect("it is there");
    card.start();
    assert!(
        card.errors()
            .contains("there is no ownstream.txt on this card"),
        "{}",
        card.errors()
    );
    assert_eq!(card.read("etc/ownstream/role"), "all-in-one\n");
}

#[test]
fn that_the_data_was_lost_stands_there_until_somebody_has_changed_the_file() {
    // As the script says it that makes the partition anew.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/files/data");
    let script = std::fs::read_to_string(script).expect("the script");
    let words = "The data partition was unreadable and was made anew";
    assert!(script.contains(&format!("tell \"{words}")));
    let card = Card::new();
    card.write(ERRORS, &format!("{words}: what now.\r\n"));
    card.write(FILE, "name = attic\ncolour = red\n");
    card.start();
    card.start();
    assert!(
        card.errors().contains(words) && card.errors().contains("no setting colour"),
        "{}",
        card.errors()
    );
    card.start_with("name = attic\n");
    assert_eq!(card.errors(), "");
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
