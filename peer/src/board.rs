//! The board a service runs on: how warm it is, whether its power supply is strong enough, what is left of memory and
//! disk. Read from /sys and /proc; what a board does not tell is left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use protocol::node::Input;
use protocol::signal::{BoxHealth, MAX_NAME};

use crate::Handle;

/// How often a board is looked at, and the supervisor told. Guess: heat takes longer to come and to go.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The Raspberry Pi's own register of what its power and heat have done.
const THROTTLED: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";
/// Its bits: now too little voltage, now slowed down, and too little voltage at any time since the start.
const UNDER_VOLTAGE: u64 = 1;
const SLOWED: u64 = 1 << 2;
const UNDER_VOLTAGE_ONCE: u64 = 1 << 16;

/// Where to look.
#[derive(Debug, Clone)]
pub struct Board {
    root: PathBuf,
    disk: PathBuf,
}

impl Board {
    /// This machine's, with the disk that holds `state_dir`.
    pub fn here(state_dir: &Path) -> Self {
        Self {
            root: "/".into(),
            disk: state_dir.to_owned(),
        }
    }

    /// How it is now.
    pub fn health(&self) -> BoxHealth {
        let throttled = self.hexadecimal(THROTTLED);
        let bit = |bit| throttled.map(|bits| bits & bit != 0);
        let (memory_free, memory_total) = self.memory();
        let disk = statvfs(&self.disk).ok();
        BoxHealth {
            board: self.name(),
            temperature_c: self.temperature_c(),
            throttled: bit(SLOWED),
            under_voltage: bit(UNDER_VOLTAGE).or_else(|| self.low_voltage_alarm()),
            under_voltage_once: bit(UNDER_VOLTAGE_ONCE),
            memory_free,
            memory_total,
            disk_free: disk.map(|disk| disk.blocks_available() * disk.fragment_size()),
            disk_total: disk.map(|disk| disk.blocks() * disk.fragment_size()),
            load: self.load(),
            wifi_dbm: self.wifi_dbm(),
            uptime_s: self.first_number("proc/uptime").map(|s| s as u64),
            encodings: Vec::new(),
        }
    }

    /// Tells the supervisor now and then, for as long as the peer lives; `more` adds what the board itself does not know.
    pub async fn keep_telling(self, node: Handle, more: impl Fn(&mut BoxHealth)) {
        loop {
            let board = self.clone();
            let Ok(mut health) = tokio::task::spawn_blocking(move || board.health()).await else {
                return; // the runtime ends
            };
            more(&mut health);
            if !node.put(Input::Health(health)).await {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    fn first_number(&self, path: &str) -> Option<f64> {
        self.read(path)?.split_whitespace().next()?.parse().ok()
    }

    fn hexadecimal(&self, path: &str) -> Option<u64> {
        let text = self.read(path)?;
        u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
    }

    /// What is below a folder of /sys.
    fn list(&self, folder: &str) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path()))
    }

    fn name(&self) -> Option<String> {
        let name = self
            .read("proc/device-tree/model")
            .or_else(|| self.read("sys/class/dmi/id/product_name"))?;
        let name = name.trim_matches(|c: char| c == '\0' || c.is_whitespace());
        let end = name.floor_char_boundary(MAX_NAME);
        (!name.is_empty()).then(|| name[..end].to_owned())
    }

    fn temperature_c(&self) -> Option<f32> {
        let zones = self.list("sys/class/thermal");
        let celsius = zones.filter_map(|zone| {
            let millidegrees: f32 = fs::read_to_string(zone.join("temp"))
                .ok()?
                .trim()
                .parse()
                .ok()?;
            Some(millidegrees / 1000.0)
        });
        celsius
            .filter(|c| (-50.0..200.0).contains(c))
            .reduce(f32::max)
    }

    /// Newer kernels have it as a sensor of its own.
    fn low_voltage_alarm(&self) -> Option<bool> {
        let sensor = self.list("sys/class/hwmon").find(|sensor| {
            fs::read_to_string(sensor.join("name")).is_ok_and(|name| name.trim() == "rpi_volt")
        })?;
        let alarm = fs::read_to_string(sensor.join("in0_lcrit_alarm")).ok()?;
        Some(alarm.trim() == "1")
    }

    fn memory(&self) -> (Option<u64>, Option<u64>) {
        let text = self.read("proc/meminfo").unwrap_or_default();
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
            kibibytes.checked_mul(1024)
        };
        (of("MemAvailable:"), of("MemTotal:"))
    }

    fn load(&self) -> Option<f32> {
        let running = self.first_number("proc/loadavg")?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Some((running / processors as f64) as f32)
    }

    fn wifi_dbm(&self) -> Option<i32> {
        let text = self.read("proc/net/wireless")?;
        let line = text.lines().nth(2)?; // two lines of headings
        let level = line.split_whitespace().nth(3)?;
        level.trim_end_matches('.').parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A board with these files.
    fn board(files: &[(&str, &str)]) -> (tempfile::TempDir, Board) {
        let dir = tempfile::tempdir().expect("a directory");
        for (path, content) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("below the root")).expect("made");
            fs::write(path, content).expect("written");
        }
        let board = Board {
            root: dir.path().to_owned(),
            disk: dir.path().to_owned(),
        };
        (dir, board)
    }

    #[test]
    fn a_pi_whose_power_supply_is_too_weak_says_so() {
        let (_dir, board) = board(&[
            ("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0"),
            (THROTTLED, "50005\n"),
            ("sys/class/thermal/thermal_zone0/temp", "61500\n"),
            ("sys/class/thermal/thermal_zone1/temp", "82000\n"),
        ]);
        let health = board.health();
        assert_eq!(
            health.board.as_deref(),
            Some("Raspberry Pi 4 Model B Rev 1.4")
        );
        assert_eq!(
            (health.under_voltage, health.throttled),
            (Some(true), Some(true))
        );
        assert_eq!(
            (health.under_voltage_once, health.temperature_c),
            (Some(true), Some(82.0))
        );
    }

    #[test]
    fn a_sensor_of_the_kernels_stands_in_for_the_register() {
        let (_dir, board) = board(&[
            ("sys/class/hwmon/hwmon1/name", "rpi_volt\n"),
            ("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n"),
        ]);
        assert_eq!(board.health().under_voltage, Some(false));
    }

    #[test]
    fn memory_uptime_and_signal_are_read() {
        let (_dir, board) = board(&[
            (
                "proc/meminfo",
                "MemTotal: 4000 kB\nMemFree: 1 kB\nMemAvailable: 1000 kB\n",
            ),
            ("proc/uptime", "86400.57 300000.00\n"),
            (
                "proc/net/wireless",
                "Inter-| sta-|\n face | tus |\n wlan0: 0000   54.  -61.  -256\n",
            ),
        ]);
        let health = board.health();
        assert_eq!(
            (health.memory_free, health.memory_total),
            (Some(1_024_000), Some(4_096_000))
        );
        assert_eq!(
            (health.uptime_s, health.wifi_dbm),
            (Some(86_400), Some(-61))
        );
        assert!(
            health
                .disk_total
                .is_some_and(|total| total >= health.disk_free.unwrap_or(0))
        );
    }

    #[test]
    fn what_a_board_does_not_tell_is_left_out() {
        let (_dir, board) = board(&[("proc/meminfo", "nonsense"), (THROTTLED, "strange")]);
        let health = board.health();
        assert_eq!(
            (health.board, health.temperature_c, health.throttled),
            (None, None, None)
        );
        assert_eq!(
            (health.memory_free, health.wifi_dbm, health.under_voltage),
            (None, None, None)
        );
    }
}
