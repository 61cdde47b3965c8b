//! What viewers see while the camera shows nothing: that it does not, since when, and the time, so that
//! nobody takes a still picture for a live one.

use super::canvas::Canvas;

/// Luma of the ground: dark, and not black, which could be a camera with its cap on.
pub const GROUND: u8 = 48;

/// Paints such pictures of one size.
#[derive(Debug, Clone)]
pub struct Slate {
    width: usize,
    height: usize,
    /// What was painted last, and the picture: it changes once a second.
    last: Option<([String; 3], Vec<u8>)>,
}

impl Slate {
    /// A slate `width` by `height`, both even and at least 320 and 180.
    pub fn new(width: u32, height: u32) -> Self {
        Self {
            width: width as usize,
            height: height as usize,
            last: None,
        }
    }

    /// The picture, in I420 without gaps. `what` is in capital letters; the times are seconds since 1970.
    pub fn paint(&mut self, what: &str, since: u64, now: u64) -> Vec<u8> {
        let lines = [
            what.to_owned(),
            format!("SINCE {} {} UTC", date(since), time_of_day(since)),
            format!("{} UTC", time_of_day(now)),
        ];
        match &self.last {
            Some((said, picture)) if *said == lines => picture.clone(),
            _ => {
                let picture = self.draw(&lines);
                self.last = Some((lines, picture.clone()));
                picture
            }
        }
    }

    fn draw(&self, lines: &[String; 3]) -> Vec<u8> {
        let mut canvas = Canvas::plain(self.width, self.height, GROUND);
        // Six columns a letter; the lines fill three quarters, half and a third of the width.
        for ((line, eighth), share) in lines.iter().zip([3, 5, 6]).zip([75, 50, 33]) {
            let scale = (self.width * share / 100 / (line.len() * 6)).max(1);
            canvas.text(line, self.height * eighth / 8, scale);
        }
        canvas.into_data()
    }
}

fn time_of_day(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

/// Year, month and day of the Gregorian calendar. Counted in years that begin in March, so that the leap
/// day is the last.
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468; // since 1 March of the year 0
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_798_675_200, "2026-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(seconds), day);
        }
        assert_eq!(time_of_day(86_400 * 3 + 3_661), "01:01:01");
    }

    #[test]
    fn the_picture_changes_with_the_second_and_is_mostly_ground() {
        let mut slate = Slate::new(640, 360);
        let one = slate.paint("CAMERA AWAY", 1_000, 1_010);
        assert_eq!(slate.paint("CAMERA AWAY", 1_000, 1_010), one);
        let two = slate.paint("CAMERA AWAY", 1_000, 1_011);
        assert_ne!(one, two);
        let ground = one[..640 * 360].iter().filter(|&&p| p == GROUND).count();
        assert!(ground > 640 * 360 / 2, "{ground}");
    }

    #[test]
    fn it_fits_the_smallest_picture() {
        let picture = Slate::new(320, 180).paint("CAMERA IN USE ELSEWHERE", 0, 1);
        assert_eq!(picture.len(), 320 * 180 * 3 / 2);
    }
}
