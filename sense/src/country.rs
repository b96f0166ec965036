//! The country of an address, by a database in MMDB form that the operator names.
//!
//! The form: <https://maxmind.github.io/MaxMind-DB/>. Three kinds of record are understood: `country.iso_code` or else
//! `registered_country.iso_code` (GeoLite2, DB-IP), `country_code` (the files of ip-location-db), and a plain text of two
//! letters. Without a file, and for every address that it does not know, the country is unknown; a damaged file is told
//! as a blind spot, and the one that was read before stays in use.

use std::fs::{self, File};
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maxminddb::{PathElement, Reader};
use model::Moment;
use model::evidence::printable;

/// Largest database that is read, bytes; country lists have 5 to 10 MiB.
pub const FILE_MAX: u64 = 64 << 20;

/// Codes that are no country: Europe and Asia as a whole, and what ISO 3166 leaves to its users.
const NO_COUNTRY: &[&[u8; 2]] = &[b"ap", b"eu", b"xx", b"zz"];

/// Where a country may stand in a record.
const PATHS: &[&[PathElement<'static>]] = &[
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[PathElement::Key("registered_country"), PathElement::Key("iso_code")],
    &[PathElement::Key("country_code")],
];

/// A database that was read.
pub struct Countries {
    reader: Reader<Vec<u8>>,
    date: String,
}

impl Countries {
    /// Takes a whole file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn of(bytes: Vec<u8>) -> Result<Countries, String> {
        let reader = Reader::from_source(bytes).map_err(|e| printable(e.to_string().as_bytes(), 200))?;
        let built = i64::try_from(reader.metadata().build_epoch).ok();
        // Later than the year 9000 is no date of a file.
        let built = built.filter(|secs| (0..221_845_392_000).contains(secs)).ok_or("it has no date")?;
        let date = Moment::from_secs(built).to_string().chars().take(10).collect();
        Ok(Countries { reader, date })
    }

    /// The country of an address, two small letters.
    pub fn lookup(&self, address: IpAddr) -> Option<[u8; 2]> {
        let address = address.to_canonical();
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return None;
        }
        let found = self.reader.lookup(address).ok()?;
        if !found.has_data() {
            return None;
        }
        let at = |path: &&[PathElement<'_>]| found.decode_path::<&str>(path).ok().flatten().and_then(code);
        PATHS.iter().find_map(at).or_else(|| found.decode::<&str>().ok().flatten().and_then(code))
    }

    /// The day on which the database was made, as YYYY-MM-DD.
    pub fn date(&self) -> &str {
        &self.date
    }
}

impl std::fmt::Debug for Countries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Countries of {}", self.date)
    }
}

/// A country as ccTLDs name it: small letters. What is no country is none.
fn code(text: &str) -> Option<[u8; 2]> {
    let mut code: [u8; 2] = text.as_bytes().try_into().ok()?;
    code.make_ascii_lowercase();
    let known = code.iter().all(u8::is_ascii_lowercase) && !NO_COUNTRY.contains(&&code);
    known.then_some(if &code == b"uk" { *b"gb" } else { code })
}

/// The file of the operator, read again when it changed.
#[derive(Debug, Default)]
pub struct CountryFile {
    path: Option<PathBuf>,
    /// Device, inode, length and time of change of what was looked at last.
    stamp: Option<(u64, u64, u64, i64)>,
    countries: Option<Arc<Countries>>,
    blind: Option<String>,
}

impl CountryFile {
    /// Nothing is read yet; without a path nothing ever is.
    pub fn new(path: Option<PathBuf>) -> CountryFile {
        CountryFile { path, ..CountryFile::default() }
    }

    /// Reads the file if it is another one than at the last look; whether there is another database now.
    pub fn look(&mut self) -> bool {
        let Some(path) = &self.path else { return false };
        let next = "name an MMDB file in [node] country_database, or remove the key";
        let stamp = match fs::metadata(path) {
            Ok(found) if found.is_file() => {
                let changed = found.mtime().wrapping_mul(1_000_000_000).wrapping_add(found.mtime_nsec());
                (found.dev(), found.ino(), found.len(), changed)
            }
            found => {
                let why = found.err().map_or_else(|| "it is no file".to_owned(), |e| e.to_string());
                self.stamp = None;
                self.blind = Some(format!("countries: {}: {why}; {next}", path.display()));
                return false;
            }
        };
        if self.stamp == Some(stamp) {
            return false;
        }
        self.stamp = Some(stamp);
        match read(path).and_then(Countries::of) {
            Ok(countries) => {
                (self.countries, self.blind) = (Some(Arc::new(countries)), None);
                true
            }
            Err(why) => {
                let before = self.countries.as_ref().map(|c| format!("; the one of {} stays in use", c.date));
                let before = before.unwrap_or_default();
                self.blind = Some(format!("countries: {}: {why}{before}; get it anew, or {next}", path.display()));
                false
            }
        }
    }

    /// The database, if one could be read.
    pub fn countries(&self) -> Option<Arc<Countries>> {
        self.countries.clone()
    }

    /// What cannot be seen for want of it, with the next step.
    pub fn blind(&self) -> Option<String> {
        self.blind.clone()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    match bytes.len() as u64 <= FILE_MAX {
        true => Ok(bytes),
        false => Err(format!("it is larger than {} MiB", FILE_MAX >> 20)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
