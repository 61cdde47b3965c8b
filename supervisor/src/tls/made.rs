//! A certificate of our own making, for those who have no name that anybody else could vouch for.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use super::{Identity, files};
use crate::host;
use crate::store::private_dir;

/// Certificate and key in one file: there is never one without the other.
pub(super) const FILE: &str = "tls-made.pem";

/// The one kept in that directory; made when there is none. Names count only then.
pub(super) fn load_or_make(state_dir: &Path, names: &[String]) -> anyhow::Result<Identity> {
    let path = state_dir.join(FILE);
    let there = path.try_exists();
    if !there.with_context(|| format!("cannot look for {}", path.display()))? {
        let mut all = own_names();
        all.extend(names.iter().cloned());
        let text = make(all).context("making a certificate")?;
        write(state_dir, &path, &text)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Identity {
        chain: files::certificates(&path)?,
        key: files::key(&path)?,
    })
}

fn make(names: Vec<String>) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?; // P-256: what every browser takes
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "OwnStream supervisor");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Its fingerprint is what people compare, so it does not end; and a board may not know what day it is.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    let certificate = params.self_signed(&key)?;
    Ok(certificate.pem() + &key.serialize_pem())
}

/// All of it or nothing: under another name first.
fn write(dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    private_dir(dir)?;
    let unfinished = path.with_extension("new");
    // What a start that failed left behind may have any mode.
    if let Err(error) = std::fs::remove_file(&unfinished)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    File::open(dir)?.sync_all()
}

/// Under which this machine is found in its LAN.
fn own_names() -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    if let Some(host) = host::name() {
        names.push(format!("{host}.local"));
        names.push(host);
    }
    names.extend(host::addresses().iter().map(IpAddr::to_string));
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_for_its_owner_alone() {
        let above = tempfile::tempdir().expect("a directory");
        let dir = above.path().join("state");
        let first = load_or_make(&dir, &["tv.lan".into()]).expect("made");
        let again = load_or_make(&dir, &[]).expect("read");
        assert_eq!(first.chain, again.chain);
        let about = std::fs::metadata(dir.join(FILE)).expect("there");
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        assert!(make(vec!["öffentlich".into()]).is_err());
    }
}
