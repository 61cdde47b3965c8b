//! What `check` found, as a table for people and as JSON for programs.

use std::fmt;

use serde::Serialize;

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// Said for information.
    Told,
    /// It works, or may, and somebody should look.
    Doubtful,
    /// A stream would not start.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What kind of thing, in capital letters.
    pub section: &'static str,
    /// How well it is.
    pub state: State,
    /// What it is called.
    pub name: String,
    /// What was found, in lines.
    pub found: String,
}

/// All that was looked at, section by section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which it was looked at.
    pub rows: Vec<Row>,
}

impl Report {
    pub(super) fn add(
        &mut self,
        section: &'static str,
        state: State,
        name: impl fmt::Display,
        found: impl Into<String>,
    ) {
        self.rows.push(Row {
            section,
            state,
            name: name.to_string(),
            found: found.into(),
        });
    }

    /// Whether every stream would start.
    pub fn ready(&self) -> bool {
        self.rows.iter().all(|row| row.state != State::Bad)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max();
        let width = width.unwrap_or(0).min(28);
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = row.section;
                writeln!(f, "{section}")?;
            }
            let mark = match row.state {
                State::Good => "ok",
                State::Told => "-",
                State::Doubtful => "LOOK",
                State::Bad => "BAD",
            };
            let mut lines = row.found.lines();
            writeln!(
                f,
                "  {mark:4}  {:width$}  {}",
                row.name,
                lines.next().unwrap_or("")
            )?;
            for line in lines {
                writeln!(f, "  {:4}  {:width$}  {line}", "", "")?;
            }
        }
        match self
            .rows
            .iter()
            .filter(|row| row.state == State::Bad)
            .count()
        {
            0 => writeln!(f, "Ready."),
            count => writeln!(f, "NOT READY: {count} of these are BAD."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(state: State) -> Report {
        let mut report = Report::default();
        report.add(
            "CAMERAS",
            State::Good,
            "/dev/video0",
            "C920\nYuyv: 640x480 at 30",
        );
        report.add("STREAMS", state, "garden", "/dev/video0");
        report
    }

    #[test]
    fn it_is_a_table_whose_last_line_says_whether_all_is_well() {
        let expected = "CAMERAS\n  ok    /dev/video0  C920\n                     Yuyv: 640x480 at 30\n\
                        STREAMS\n  ok    garden       /dev/video0\nReady.\n";
        assert_eq!(report(State::Good).to_string(), expected);
        let bad = report(State::Bad);
        assert!(
            bad.to_string()
                .ends_with("NOT READY: 1 of these are BAD.\n")
        );
        assert!(!bad.ready());
        assert!(report(State::Doubtful).ready());
    }
}
