//! The operator's password: typed in, hashed with Argon2id, compared.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail, ensure};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Shortest password, in characters. NIST SP 800-63B asks for 8; two more cost nobody anything.
pub(crate) const SHORTEST: usize = 10;
/// Longest, in bytes: it is hashed before anybody knows whose it is.
pub(crate) const LONGEST: usize = 1024;

/// What is kept of it: Argon2id at the library's defaults (19 MiB, two passes), which OWASP recommends.
pub(crate) fn hash(password: &str) -> anyhow::Result<String> {
    let length = password.chars().count();
    ensure!(
        length >= SHORTEST,
        "a password of {length} characters is too short: at least {SHORTEST}"
    );
    ensure!(
        password.len() <= LONGEST,
        "a password of more than {LONGEST} bytes"
    );
    let made = Argon2::default().hash_password(password.as_bytes());
    let made = made.map_err(|error| anyhow::anyhow!("hashing the password: {error}"))?;
    Ok(made.to_string())
}

/// Whether it is that one. Takes some ten milliseconds, whatever the answer.
pub(crate) fn is_right(kept: &str, password: &str) -> bool {
    password.len() <= LONGEST
        && PasswordHash::new(kept).is_ok_and(|kept| {
            Argon2::default()
                .verify_password(password.as_bytes(), &kept)
                .is_ok()
        })
}

/// Asks for one, twice, without showing it; or reads a line, when nobody sits there.
pub(crate) fn read() -> anyhow::Result<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        return line();
    }
    let first = hidden("New password for /monitor: ")?;
    let second = hidden("The same again: ")?;
    if first != second {
        bail!("the two are not the same: nothing was changed");
    }
    Ok(first)
}

fn line() -> anyhow::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("reading the password")?;
    Ok(Zeroizing::new(
        line.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

fn hidden(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    eprint!("{prompt}");
    io::stderr().flush()?;
    let silence = Silence::begin()?;
    let line = line();
    drop(silence);
    eprintln!();
    line
}

/// The terminal shows nothing of what is typed until this is dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0); // the terminal may be gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_another_is_not() {
        let kept = hash("correct horse").expect("long enough");
        assert!(kept.starts_with("$argon2id$"), "{kept}");
        assert!(is_right(&kept, "correct horse"));
        assert!(!is_right(&kept, "correct house"));
        assert!(!is_right("no hash", "correct horse"));
    }

    #[test]
    fn a_short_password_is_refused_with_how_long_it_must_be() {
        let error = hash("secret").expect_err("short").to_string();
        assert!(error.contains("at least 10"), "{error}");
        assert!(hash(&"x".repeat(LONGEST + 1)).is_err());
    }
}
