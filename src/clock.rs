//! What time it is, and where: the clocks that a server answers from, and the system's time zones.
//!
//! Only replies depend on these clocks. Every timeout uses the monotonic clock.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering},
    time::SystemTime,
};

use chrono::{DateTime, Utc};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::{
    Error,
    protocol::{FormattedTime, Zone},
};

/// The clock that a server answers from: the system's clock, a stopped one, or the system's clock shifted.
///
/// ```
/// use daytime::{Clock, chrono::{TimeZone, Utc}};
/// use std::time::{Duration, SystemTime};
///
/// let noon = Clock::fixed(Utc.with_ymd_and_hms(2026, 11, 22, 12, 0, 0).unwrap());
/// assert_eq!(noon.unix_seconds(), 1_795_348_800);
/// assert_eq!(Clock::fixed(SystemTime::UNIX_EPOCH + Duration::from_secs(60)), Clock::fixed_unix(60));
/// let tomorrow = Clock::offset(86_400); // in seconds, ahead of the system's clock
/// # let _ = tomorrow;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    System,
    Fixed(i64),
    Offset(i64),
}

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Clock(Source::System)
    }

    /// A clock that is stopped at a moment, rounded down to its second: a [`SystemTime`] or a [`DateTime`] of chrono.
    ///
    /// # Panics
    /// chrono's conversion from [`SystemTime`] panics for moments more than 262,000 years away.
    pub fn fixed(moment: impl Into<DateTime<Utc>>) -> Self {
        Self::fixed_unix(moment.into().timestamp())
    }

    /// A clock that is stopped at a second since the Unix epoch; negative before 1970.
    pub fn fixed_unix(seconds: i64) -> Self {
        Clock(Source::Fixed(in_range(seconds)))
    }

    /// The system's clock, this many seconds ahead, or behind if they are negative.
    pub fn offset(seconds: i64) -> Self {
        // The length of the whole calendar: sums with it do not overflow.
        let most = FormattedTime::RANGE.end() - FormattedTime::RANGE.start();
        Clock(Source::Offset(seconds.clamp(-most, most)))
    }

    /// The seconds since the Unix epoch that this clock shows, clamped to [`FormattedTime::RANGE`].
    pub fn unix_seconds(self) -> i64 {
        match self.0 {
            Source::System => in_range(system_seconds()),
            Source::Fixed(seconds) => seconds,
            Source::Offset(seconds) => in_range(system_seconds().saturating_add(seconds)),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::system()
    }
}

fn in_range(seconds: i64) -> i64 {
    seconds.clamp(*FormattedTime::RANGE.start(), *FormattedTime::RANGE.end())
}

/// The system's clock, rounded down. It is defined for every setting, also for a machine that starts before 1970.
fn system_seconds() -> i64 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            seconds.saturating_add(i64::from(before.subsec_nanos() > 0)).saturating_neg()
        }
    }
}

/// A clock that one thread sets while others read it. It is one atomic word: a reader never waits, spins or sees half of
/// a change, since each read of each client asks it.
#[derive(Debug)]
pub(crate) struct SettableClock(AtomicI64);

impl SettableClock {
    pub(crate) fn new(clock: Clock) -> Self {
        SettableClock(AtomicI64::new(Self::pack(clock)))
    }

    pub(crate) fn set(&self, clock: Clock) {
        self.0.store(Self::pack(clock), Ordering::Relaxed);
    }

    pub(crate) fn unix_seconds(&self) -> i64 {
        let word = self.0.load(Ordering::Relaxed);
        let clock = match word & 0b11 {
            0 => Source::System,
            1 => Source::Fixed(word >> 2),
            _ => Source::Offset(word >> 2),
        };
        Clock(clock).unix_seconds()
    }

    /// The kind of clock in two bits. The seconds have at most 39 bits and fit above them.
    fn pack(clock: Clock) -> i64 {
        match clock.0 {
            Source::System => 0,
            Source::Fixed(seconds) => seconds << 2 | 1,
            Source::Offset(seconds) => seconds << 2 | 2,
        }
    }
}

/// The system's time zone database and the zone of the server, opened once for each server. The environment is read here
/// and never again.
#[derive(Debug)]
pub(crate) struct Zones {
    database: TimeZoneDatabase,
    local: LocalZone,
}

/// The source of the server's zone.
#[derive(Debug)]
enum LocalZone {
    /// A name, from the settings.
    Named(String),
    /// The value of `TZ` when the server was made, or else this file.
    System(Option<OsString>, PathBuf),
}

impl Zones {
    /// Opens the database. `local` is the name of the server's zone; by default it is the system's, from `TZ` or
    /// `/etc/localtime`.
    pub(crate) fn open(local: Option<&str>) -> Self {
        let local = match local {
            Some(name) => LocalZone::Named(name.to_owned()),
            None => LocalZone::System(std::env::var_os("TZ"), "/etc/localtime".into()),
        };
        Zones { database: TimeZoneDatabase::from_env(), local }
    }

    /// Says whether the name of a zone is known.
    pub(crate) fn check(name: &str) -> Result<(), Error> {
        match Zone::parse(name).or_else(|| Zones::open(Some(name)).get(name)) {
            Some(_) => Ok(()),
            None => Err(Error::Invalid(format!(
                "the time zone {name:?} is unknown; expected a name such as Europe/Berlin, UTC, or an offset such as +05:30"
            ))),
        }
    }

    /// The reasons why the server's zone became UTC, or names are unknown; empty if there are none.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.database.available().next().is_none() {
            let warning = "the time zone database is missing; only UTC and offsets are known as zones";
            warnings.push(warning.to_owned());
        } else if let Err(error) = self.local() {
            warnings.push(format!("the time zone is UTC: {error}"));
        }
        warnings
    }

    /// The server's zone, read now.
    pub(crate) fn local(&self) -> Result<Zone, String> {
        match &self.local {
            LocalZone::Named(name) => self.get(name).ok_or_else(|| format!("the time zone {name:?} is missing")),
            LocalZone::System(tz, localtime) => system_zone(&self.database, tz.as_deref(), localtime).map(Zone::new),
        }
    }

    /// Drops the cached zones, so that files that were replaced in the meantime are read again.
    pub(crate) fn renew(&self) {
        self.database.reset();
    }

    /// The zone that a client names: `UTC`, an offset, or a name of the database in any letter case.
    ///
    /// A name never becomes a path. The database is asked only for a plausible zone name, and looks it up in its own
    /// listing of the files. An unknown name therefore reads nothing; the listing is renewed every five minutes.
    pub(crate) fn get(&self, name: &str) -> Option<Zone> {
        Zone::parse(name).or_else(|| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
            let plausible = name.len() <= 64 && name.bytes().all(allowed) && !name.starts_with('/');
            // Two entries of the database that are links to the system's choice instead of zones.
            let link = ["localtime", "posixrules"].iter().any(|link| name.eq_ignore_ascii_case(link));
            if plausible && !link { self.database.get(name).ok().map(Zone::new) } else { None }
        })
    }
}

/// The zone of `TZ`, interpreted as tzset(3) does, or of the file.
fn system_zone(database: &TimeZoneDatabase, tz: Option<&OsStr>, localtime: &Path) -> Result<TimeZone, String> {
    let read = |path: &Path| read_zone(path).map_err(|error| format!("{}: {error}", path.display()));
    let Some(tz) = tz else { return read(localtime) };
    let tz = tz.to_str().ok_or("TZ is not UTF-8")?;
    let name = tz.strip_prefix(':').unwrap_or(tz);
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    if name.starts_with('/') {
        return read(Path::new(name));
    }
    let known = database.get(name).or_else(|_| TimeZone::posix(name));
    known.map_err(|_| format!("TZ={tz:?} is not a time zone"))
}

fn read_zone(path: &Path) -> io::Result<TimeZone> {
    let mut bytes = Vec::new();
    // Zone files are a hundred times smaller. The limit is for devices, which do not end.
    File::open(path)?.take(1 << 20).read_to_end(&mut bytes)?;
    TimeZone::tzif("Local", &bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::protocol::{Command, Formats};

    /// A folder with one zone and a file for the system's zone, both the same. `None` if the machine has no database.
    fn folder() -> Option<TempDir> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("zones/Here")).unwrap();
        put(folder.path(), "Asia/Tokyo").then_some(folder)
    }

    fn put(folder: &Path, zone: &str) -> bool {
        let source = Path::new("/usr/share/zoneinfo").join(zone);
        // A new file replaces the old one, as package managers do.
        for place in ["zones/Here/Now", "localtime"] {
            let new = folder.join("new");
            if fs::copy(&source, &new).is_err() {
                eprintln!("SKIPPED: zones: {} is missing", source.display());
                return false;
            }
            fs::rename(&new, folder.join(place)).unwrap();
        }
        true
    }

    fn hour(zone: &Zone) -> String {
        FormattedTime::new(1_795_362_297, zone, &Formats::default()).text(Command::Time)[..2].to_owned()
    }

    #[test]
    fn zone_files_that_are_replaced_are_read_again() {
        let Some(folder) = folder() else { return };
        let folder = folder.path();
        let database = TimeZoneDatabase::from_dir(folder.join("zones")).unwrap();
        let zones = Zones { database, local: LocalZone::System(None, folder.join("localtime")) };
        let hours = || (hour(&zones.get("here/now").unwrap()), hour(&zones.local().unwrap()));
        assert_eq!(hours(), ("00".into(), "00".into()), "Asia/Tokyo");
        assert!(put(folder, "America/New_York"));
        zones.renew();
        assert_eq!(hours(), ("10".into(), "10".into()), "America/New_York");
    }

    #[test]
    fn tz_is_read_as_tzset_does() {
        let Some(folder) = folder() else { return };
        let folder = folder.path();
        let localtime = folder.join("localtime");
        for (tz, expected) in [
            (None, Ok("00")),
            (Some("Here/Now"), Ok("00")),
            (Some(":Here/Now"), Ok("00")),
            (Some(localtime.to_str().unwrap()), Ok("00")),
            (Some(""), Ok("15")),
            (Some("XYZ-2"), Ok("17")),
            (Some("EST5EDT,M3.2.0,M11.1.0"), Ok("10")),
            (Some("no zone"), Err("TZ=\"no zone\" is not a time zone")),
            (Some("/no/such/file"), Err("/no/such/file: No such file or directory (os error 2)")),
        ] {
            let database = TimeZoneDatabase::from_dir(folder.join("zones")).unwrap();
            let zones = Zones { database, local: LocalZone::System(tz.map(OsString::from), localtime.clone()) };
            let result = zones.local().map(|zone| hour(&zone));
            assert_eq!(result.as_deref().map_err(String::as_str), expected, "{tz:?}");
            assert_eq!(zones.warnings().len(), usize::from(expected.is_err()));
        }
    }
}
