//! A camera's controls: exposure, focus, power-line frequency and what else it has, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use v4l::Device;
use v4l::control::{self, Flags, MenuItem, Type};

use crate::config::Setting;

/// Choices of a menu that are listed. Guess: as many as a person reads.
const SHOWN: usize = 24;

/// One control of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Its name, as v4l2-ctl and the configuration write it: `exposure_time_absolute`.
    pub name: String,
    /// What it may be set to.
    pub kind: Kind,
    /// What it is set to, if its driver says.
    pub value: Option<i64>,
    id: u32,
}

/// What a control may be set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A number from one to another in steps.
    Number {
        /// At least.
        least: i64,
        /// At most.
        most: i64,
        /// From one value to the next, at least 1.
        step: i64,
    },
    /// On or off.
    Switch,
    /// One of these, by number or by name.
    Menu(Vec<(i64, String)>),
}

/// Why a control cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// The camera has none of that name.
    #[error("the camera has no control {0:?}; it has {1}")]
    Unknown(String, String),
    /// The value is not one of those it may have.
    #[error("the control {0} is set to {1}, but must be {2}")]
    Value(String, String, Kind),
    /// The camera does not do it.
    #[error("the camera does not set {0} to {1}: {2}")]
    Refused(String, String, String),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { least, most, step } if *step > 1 => {
                write!(f, "from {least} to {most} in steps of {step}")
            }
            Self::Number { least, most, .. } => write!(f, "from {least} to {most}"),
            Self::Switch => write!(f, "true or false"),
            Self::Menu(items) => {
                let named = items
                    .iter()
                    .take(SHOWN)
                    .map(|(_, name)| format!("{name:?}"));
                write!(f, "{}", named.collect::<Vec<_>>().join(", "))?;
                match items.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
    }
}

/// The controls of a camera that a person may set.
pub(super) fn all(device: &Device) -> Vec<Control> {
    // The crate panics at a kind of control that is younger than it is.
    let described = catch_unwind(AssertUnwindSafe(|| device.query_controls()));
    let described = described.ok().and_then(Result::ok).unwrap_or_default();
    let controls = described.into_iter().filter_map(|about| {
        let unusable = Flags::DISABLED | Flags::READ_ONLY;
        let kind = kind(&about).filter(|_| !about.flags.intersects(unusable))?;
        Some(Control {
            name: plain(&about.name),
            kind,
            value: value(device, about.id),
            id: about.id,
        })
    });
    controls.collect()
}

fn kind(about: &control::Description) -> Option<Kind> {
    match about.typ {
        Type::Boolean => Some(Kind::Switch),
        Type::Integer | Type::Integer64 => Some(Kind::Number {
            least: about.minimum,
            most: about.maximum,
            step: i64::try_from(about.step).unwrap_or(1).max(1),
        }),
        Type::Menu | Type::IntegerMenu => {
            let items = about.items.iter().flatten();
            let named = items.map(|(number, item)| match item {
                MenuItem::Name(name) => (i64::from(*number), name.clone()),
                MenuItem::Value(value) => (i64::from(*number), value.to_string()),
            });
            Some(Kind::Menu(named.collect()))
        }
        _ => None,
    }
}

fn value(device: &Device, id: u32) -> Option<i64> {
    match device.control(id).ok()?.value {
        control::Value::Integer(value) => Some(value),
        control::Value::Boolean(value) => Some(value.into()),
        _ => None,
    }
}

/// A driver's name for a control, as v4l2-ctl writes it.
fn plain(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").to_lowercase()
}

/// Sets what the configuration says, and gives what could not be set.
pub(super) fn set(device: &Device, wanted: &BTreeMap<String, Setting>) -> Vec<Unfit> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let controls = all(device);
    let (fit, mut unfit) = resolve(&controls, wanted);
    for (control, value) in fit {
        let set = device.set_control(control::Control {
            id: control.id,
            value: control::Value::Integer(value),
        });
        if let Err(error) = set {
            unfit.push(Unfit::Refused(
                control.name.clone(),
                value.to_string(),
                error.to_string(),
            ));
        }
    }
    unfit
}

/// Sets what the camera has of these, to the nearest that it takes. Gives how many were set.
pub(super) fn set_nearest(device: &Device, wanted: &[(&str, i64)]) -> usize {
    let controls = all(device);
    let fit = wanted.iter().filter_map(|&(name, value)| {
        let control = controls.iter().find(|control| control.name == name)?;
        Some((control.id, nearest(&control.kind, value)?))
    });
    fit.filter(|&(id, value)| {
        let value = control::Value::Integer(value);
        device.set_control(control::Control { id, value }).is_ok()
    })
    .count()
}

/// The value nearest to this one that a control may have, from below where it goes in steps.
fn nearest(kind: &Kind, value: i64) -> Option<i64> {
    match kind {
        Kind::Switch => Some(i64::from(value != 0)),
        Kind::Number { least, most, step } => {
            let within = value.clamp(*least, (*most).max(*least));
            Some(least + within.saturating_sub(*least) / step * step)
        }
        Kind::Menu(_) => None,
    }
}

/// What is to be set, in the order in which it is to be set, and what cannot be.
pub(super) fn resolve<'a>(
    controls: &'a [Control],
    wanted: &BTreeMap<String, Setting>,
) -> (Vec<(&'a Control, i64)>, Vec<Unfit>) {
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    for (name, setting) in wanted {
        match controls.iter().find(|control| control.name == *name) {
            None => unfit.push(Unfit::Unknown(name.clone(), names(controls))),
            Some(control) => match number(&control.kind, setting) {
                Some(value) => fit.push((control, value)),
                None => unfit.push(Unfit::Value(
                    name.clone(),
                    setting.to_string(),
                    control.kind.clone(),
                )),
            },
        }
    }
    // Switches and menus first: they decide whether numbers are the camera's own to choose (auto_exposure).
    fit.sort_by_key(|(control, _)| matches!(control.kind, Kind::Number { .. }));
    (fit, unfit)
}

fn names(controls: &[Control]) -> String {
    match controls.is_empty() {
        true => "none".to_owned(),
        false => {
            let names: Vec<_> = controls.iter().map(|c| c.name.as_str()).collect();
            names.join(", ")
        }
    }
}

/// The driver's number for a setting, if it is one that the control may have.
fn number(kind: &Kind, setting: &Setting) -> Option<i64> {
    match (kind, setting) {
        (Kind::Switch, Setting::Switch(on)) => Some((*on).into()),
        (Kind::Number { least, most, step }, Setting::Number(value)) => {
            let fits = (least..=most).contains(&value) && (value - least) % step == 0;
            fits.then_some(*value)
        }
        (Kind::Menu(items), Setting::Number(value)) => {
            items.iter().map(|(number, _)| *number).find(|n| n == value)
        }
        (Kind::Menu(items), Setting::Words(words)) => items
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(words))
            .map(|(number, _)| *number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(name: &str, kind: Kind) -> Control {
        Control {
            name: name.into(),
            kind,
            value: None,
            id: 0,
        }
    }

    fn webcam() -> Vec<Control> {
        let items = [(1, "Manual Mode"), (3, "Aperture Priority Mode")];
        vec![
            control(
                "exposure_time_absolute",
                Kind::Number {
                    least: 3,
                    most: 2_047,
                    step: 4,
                },
            ),
            control(
                "auto_exposure",
                Kind::Menu(items.map(|(n, name)| (n, name.to_owned())).into()),
            ),
            control("backlight_compensation", Kind::Switch),
        ]
    }

    fn wanted(settings: &[(&str, Setting)]) -> BTreeMap<String, Setting> {
        let owned = settings.iter().cloned();
        owned.map(|(name, s)| (name.to_owned(), s)).collect()
    }

    #[test]
    fn what_decides_who_chooses_is_set_before_what_is_chosen() {
        let controls = webcam();
        let wanted = wanted(&[
            ("auto_exposure", Setting::Words("manual mode".into())),
            ("exposure_time_absolute", Setting::Number(7)),
            ("backlight_compensation", Setting::Switch(true)),
        ]);
        let (fit, unfit) = resolve(&controls, &wanted);
        assert_eq!(unfit, []);
        let set: Vec<_> = fit.iter().map(|(c, n)| (c.name.as_str(), *n)).collect();
        let first = [("auto_exposure", 1), ("backlight_compensation", 1)];
        assert_eq!(set[..2], first);
        assert_eq!(set[2], ("exposure_time_absolute", 7));
    }

    #[test]
    fn what_cannot_be_set_is_answered_with_what_can() {
        let said = |name: &str, setting: Setting| {
            let (_, unfit) = resolve(&webcam(), &wanted(&[(name, setting)]));
            unfit[0].to_string()
        };
        assert!(said("focus", Setting::Number(1)).contains("it has exposure_time_absolute, auto_"));
        assert_eq!(
            said("exposure_time_absolute", Setting::Number(9)),
            "the control exposure_time_absolute is set to 9, but must be from 3 to 2047 in steps of 4"
        );
        assert_eq!(
            said("auto_exposure", Setting::Words("off".into())),
            "the control auto_exposure is set to \"off\", but must be \"Manual Mode\", \"Aperture Priority Mode\""
        );
        assert!(said("backlight_compensation", Setting::Number(1)).ends_with("true or false"));
    }

    #[test]
    fn what_is_wished_of_a_control_becomes_the_nearest_that_it_takes() {
        let kind = Kind::Number {
            least: 25_000,
            most: 25_000_000,
            step: 25_000,
        };
        assert_eq!(nearest(&kind, 1_010_000), Some(1_000_000));
        assert_eq!(nearest(&kind, 0), Some(25_000));
        assert_eq!(nearest(&kind, i64::MAX), Some(25_000_000));
        assert_eq!(nearest(&Kind::Switch, 1), Some(1));
    }

    #[test]
    fn names_are_written_as_v4l2_ctl_writes_them() {
        assert_eq!(plain("Exposure Time, Absolute"), "exposure_time_absolute");
        assert_eq!(plain("Power Line Frequency"), "power_line_frequency");
    }
}
