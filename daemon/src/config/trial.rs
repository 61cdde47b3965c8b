//! What the tests of each service do to its own configuration.

use std::path::Path;

/// The example with `out` of its characters, from the one that `at` picks of so many, replaced.
#[must_use]
pub fn spoilt(example: &str, at: impl FnOnce(usize) -> usize, out: usize, put: &str) -> String {
    let all: Vec<char> = example.chars().collect();
    let at = at(all.len()).min(all.len());
    let after = all.len().min(at + out);
    let (before, after) = (&all[..at], &all[after..]);
    before
        .iter()
        .copied()
        .chain(put.chars())
        .chain(after.iter().copied())
        .collect()
}

/// Loads a file that says this, made in the folder.
///
/// # Errors
/// The service's own words, where they do not name the file, a line, a column and what is wrong there.
pub fn taken_or_refused_with_its_place<T>(
    folder: &Path,
    text: &str,
    load: impl FnOnce(&Path) -> anyhow::Result<T>,
) -> Result<(), String> {
    let path = folder.join("service.toml");
    std::fs::write(&path, text).map_err(|error| error.to_string())?;
    let Err(error) = load(&path) else {
        return Ok(());
    };
    let words = format!("{error:#}");
    let place = words
        .split_once("service.toml:")
        .map(|(_, place)| place.splitn(3, ':').collect::<Vec<_>>());
    let number = |text: &&str| text.parse().is_ok_and(|n: usize| n > 0);
    match place.as_deref() {
        Some([line, column, message])
            if number(line) && number(column) && message.trim().len() > 10 =>
        {
            Ok(())
        }
        _ => Err(words),
    }
}
