//! Which camera it is, whatever number it has today.
//!
//! The kernel numbers cameras in the order in which they appear. What stays is what the kernel reads from the
//! device itself, below /sys: maker, model and serial number, and where it is plugged in.

use std::fmt;
use std::path::{Path, PathBuf};

/// What stays the same about a camera.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// What it calls itself.
    pub name: String,
    /// Maker and model of a USB device, as in `046d:082d`.
    pub model: Option<String>,
    /// A USB device's serial number; many have none, and some makers give all of theirs the same.
    pub serial: Option<String>,
    /// Where it is: the port of a USB device, as in `1-1.2`, or what its driver says.
    pub place: String,
}

/// How likely it is that two are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    /// The same model without a serial number, in another place.
    Perhaps,
    /// The same serial number, in another place.
    Moved,
    /// The same in the same place.
    Same,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        match (&self.serial, &self.model) {
            (Some(serial), _) => write!(f, ", serial number {serial}"),
            (None, Some(model)) => write!(f, ", {model} at {}", self.place),
            (None, None) => write!(f, " at {}", self.place),
        }
    }
}

impl Identity {
    /// Reads what a node below `sys` (that is, /sys/class/video4linux) says of its device; name and bus are the
    /// driver's.
    pub(super) fn read(sys: &Path, node: &str, name: String, bus: String) -> Self {
        let interface = sys.join(node).join("device").canonicalize();
        let usb = interface.ok().and_then(|path| usb_above(&path));
        let Some(usb) = usb else {
            return Self {
                name,
                place: bus,
                ..Self::default()
            };
        };
        let attribute = |name: &str| {
            let text = std::fs::read_to_string(usb.join(name)).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let model = attribute("idVendor").zip(attribute("idProduct"));
        Self {
            name,
            model: model.map(|(maker, model)| format!("{maker}:{model}")),
            serial: attribute("serial"),
            place: usb
                .file_name()
                .map_or(bus, |port| port.to_string_lossy().into_owned()),
        }
    }

    /// Whether this may be the camera that `other` was.
    pub(crate) fn may_be(&self, other: &Self) -> bool {
        self.likeness(other).is_some()
    }

    /// Whether this is the camera that `other` was; `None` if it cannot be.
    pub(super) fn likeness(&self, other: &Self) -> Option<Likeness> {
        if self.model != other.model || self.serial != other.serial || self.name != other.name {
            return None;
        }
        if self.place == other.place {
            return Some(Likeness::Same);
        }
        match (&self.model, &self.serial) {
            (Some(_), Some(_)) => Some(Likeness::Moved),
            (Some(_), None) => Some(Likeness::Perhaps),
            (None, _) => None, // it is soldered on: another place is another one
        }
    }
}

/// The USB device that an interface belongs to.
pub(in crate::capture) fn usb_above(interface: &Path) -> Option<PathBuf> {
    interface
        .ancestors()
        .take(3) // the interface is right below its device
        .find(|path| path.join("idVendor").is_file())
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usb(serial: Option<&str>, place: &str) -> Identity {
        Identity {
            name: "C920".into(),
            model: Some("046d:082d".into()),
            serial: serial.map(Into::into),
            place: place.into(),
        }
    }

    #[test]
    fn a_camera_with_a_serial_number_is_known_at_any_port() {
        let before = usb(Some("A1"), "1-1");
        assert_eq!(
            usb(Some("A1"), "1-1").likeness(&before),
            Some(Likeness::Same)
        );
        assert_eq!(
            usb(Some("A1"), "2-4").likeness(&before),
            Some(Likeness::Moved)
        );
        assert_eq!(usb(Some("B2"), "1-1").likeness(&before), None);
    }

    #[test]
    fn one_without_is_certain_at_its_port_only() {
        let before = usb(None, "1-1");
        assert_eq!(usb(None, "1-1").likeness(&before), Some(Likeness::Same));
        assert_eq!(usb(None, "1-2").likeness(&before), Some(Likeness::Perhaps));
    }

    #[test]
    fn one_that_is_soldered_on_is_known_by_its_place() {
        let on = |place: &str| Identity {
            name: "vivid".into(),
            place: place.into(),
            ..Identity::default()
        };
        let before = on("platform:vivid-000");
        assert_eq!(
            on("platform:vivid-000").likeness(&before),
            Some(Likeness::Same)
        );
        assert_eq!(on("platform:vivid-001").likeness(&before), None);
    }

    #[test]
    fn maker_model_serial_number_and_port_are_read_from_the_kernel() {
        let sys = tempfile::tempdir().expect("a directory");
        let device = sys.path().join("devices/usb1/1-1.2");
        let interface = device.join("1-1.2:1.0");
        std::fs::create_dir_all(&interface).expect("directories");
        for (name, text) in [
            ("idVendor", "046d\n"),
            ("idProduct", "082d\n"),
            ("serial", "A1\n"),
        ] {
            std::fs::write(device.join(name), text).expect("a file");
        }
        let node = sys.path().join("class/video3");
        std::fs::create_dir_all(&node).expect("a directory");
        std::os::unix::fs::symlink(&interface, node.join("device")).expect("a link");
        let class = sys.path().join("class");
        let read = Identity::read(&class, "video3", "C920".into(), "usb-x-1".into());
        assert_eq!(read, usb(Some("A1"), "1-1.2"));
        assert_eq!(read.to_string(), "C920, serial number A1");
        let gone = Identity::read(&class, "video9", "Chip".into(), "platform:chip".into());
        assert_eq!(gone.to_string(), "Chip at platform:chip");
    }
}
