//! What time it is, and where: the clocks that a server answers from, and the system's time zones.
//!
//! Only answers come from these clocks; every timeout is measured on the monotonic clock.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering},
    time::SystemTime,
};

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::{
    Error,
    protocol::{Stamp, Zone},
};

/// A clock to answer from: the system's, one that stands still, or the system's shifted.
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

    /// A clock that stands still at the second that `time` is in.
    pub fn fixed(time: SystemTime) -> Self {
        Self::fixed_unix(unix_seconds(time))
    }

    /// A clock that stands still at this second since the Unix epoch; times before it are negative.
    pub fn fixed_unix(seconds: i64) -> Self {
        Clock(Source::Fixed(in_range(seconds)))
    }

    /// The system's clock, this many seconds ahead, or behind where they are negative.
    pub fn offset(seconds: i64) -> Self {
        // More than the whole calendar: no sum can leave i64.
        let most = Stamp::RANGE.end() - Stamp::RANGE.start();
        Clock(Source::Offset(seconds.clamp(-most, most)))
    }

    /// The seconds since the Unix epoch that this clock shows, held within [`Stamp::RANGE`].
    pub fn unix_seconds(self) -> i64 {
        match self.0 {
            Source::System => in_range(unix_seconds(SystemTime::now())),
            Source::Fixed(seconds) => seconds,
            Source::Offset(seconds) => in_range(unix_seconds(SystemTime::now()).saturating_add(seconds)),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::system()
    }
}

fn in_range(seconds: i64) -> i64 {
    seconds.clamp(*Stamp::RANGE.start(), *Stamp::RANGE.end())
}

/// Rounded towards the past, as a clock shows it; total, also for a machine that woke up before 1970.
fn unix_seconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            seconds.saturating_add(i64::from(before.subsec_nanos() > 0)).saturating_neg()
        }
    }
}

/// A clock that can be set while others read it: one atomic word, so that no reader ever waits or sees half of it.
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

    /// The kind of clock in two bits; the seconds have at most 39 and fit above them.
    fn pack(clock: Clock) -> i64 {
        match clock.0 {
            Source::System => 0,
            Source::Fixed(seconds) => seconds << 2 | 1,
            Source::Offset(seconds) => seconds << 2 | 2,
        }
    }
}

/// The zone database of the system and the zone of the server, opened once a server: the environment is read here
/// and never again.
#[derive(Debug)]
pub(crate) struct Zones {
    database: TimeZoneDatabase,
    home: Home,
}

/// Where the server's own zone comes from.
#[derive(Debug)]
enum Home {
    /// It was asked for by name.
    Named(String),
    /// `TZ`, as it was when the server was made, or else this file.
    System(Option<OsString>, PathBuf),
}

impl Zones {
    /// Opens the database; `home` is the name of the server's zone, by default the system's as `TZ` or `/etc/localtime`
    /// tells.
    pub(crate) fn open(home: Option<&str>) -> Self {
        let home = match home {
            Some(name) => Home::Named(name.to_owned()),
            None => Home::System(std::env::var_os("TZ"), "/etc/localtime".into()),
        };
        Zones { database: TimeZoneDatabase::from_env(), home }
    }

    /// Says what is wrong with the name of a zone.
    pub(crate) fn check(name: &str) -> Result<(), Error> {
        match Zone::parse(name).or_else(|| Zones::open(Some(name)).get(name)) {
            Some(_) => Ok(()),
            None => Err(Error::Invalid(format!("the time zone {name:?} is unknown"))),
        }
    }

    /// What is missing; then the server's zone is UTC.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.database.available().next().is_none() {
            warnings.push("there is no time zone database: UTC and offsets are the only names of zones".to_owned());
        } else if let Err(why) = self.home() {
            warnings.push(format!("the time zone is UTC: {why}"));
        }
        warnings
    }

    /// The server's zone as it is now.
    pub(crate) fn home(&self) -> Result<Zone, String> {
        match &self.home {
            Home::Named(name) => self.get(name).ok_or_else(|| format!("the time zone {name:?} is gone")),
            Home::System(tz, localtime) => system_zone(&self.database, tz.as_deref(), localtime).map(Zone::new),
        }
    }

    /// Forgets what was read, so that zone files that were replaced meanwhile are read anew.
    pub(crate) fn renew(&self) {
        self.database.reset();
    }

    /// The zone that a client names: `UTC`, an offset, or a name of the database in any letter case.
    ///
    /// A name never becomes a path: the database is asked only for what can be a zone's name, and it looks that up in
    /// its own listing of the files, so that an unknown one reads nothing (the listing is renewed every five minutes).
    pub(crate) fn get(&self, name: &str) -> Option<Zone> {
        Zone::parse(name).or_else(|| {
            let listed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
            let fit = name.len() <= 64 && name.bytes().all(listed) && !name.starts_with('/');
            // Two entries of the database that are no zones but links to the system's choice.
            let link = ["localtime", "posixrules"].iter().any(|link| name.eq_ignore_ascii_case(link));
            if fit && !link { self.database.get(name).ok().map(Zone::new) } else { None }
        })
    }
}

/// The zone that `TZ` names, as tzset(3) reads it, or that the file holds.
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
    known.map_err(|_| format!("TZ={tz:?} names no zone"))
}

fn read_zone(path: &Path) -> io::Result<TimeZone> {
    let mut bytes = Vec::new();
    // No zone file has a hundredth of this, and a device has no end.
    File::open(path)?.take(1 << 20).read_to_end(&mut bytes)?;
    TimeZone::tzif("Local", &bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::protocol::{Command, Formats};

    /// A folder with one zone and a file for the system's, both the same; `None` where the machine has no zones.
    fn folder(name: &str) -> Option<PathBuf> {
        let folder = std::env::temp_dir().join(format!("daytime-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("zones/Here")).unwrap();
        put(&folder, "Asia/Tokyo").then_some(folder)
    }

    fn put(folder: &Path, zone: &str) -> bool {
        let source = Path::new("/usr/share/zoneinfo").join(zone);
        // As package managers do: a new file takes the place of the old one.
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
        Stamp::new(1_795_362_297, zone, &Formats::default()).text(Command::Time)[..2].to_owned()
    }

    #[test]
    fn zone_files_that_are_replaced_are_read_anew() {
        let Some(folder) = folder("renew") else { return };
        let database = TimeZoneDatabase::from_dir(folder.join("zones")).unwrap();
        let zones = Zones { database, home: Home::System(None, folder.join("localtime")) };
        let hours = || (hour(&zones.get("here/now").unwrap()), hour(&zones.home().unwrap()));
        assert_eq!(hours(), ("00".into(), "00".into()), "Asia/Tokyo");
        assert!(put(&folder, "America/New_York"));
        zones.renew();
        assert_eq!(hours(), ("10".into(), "10".into()), "America/New_York");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn tz_is_read_as_tzset_does() {
        let Some(folder) = folder("tz") else { return };
        let localtime = folder.join("localtime");
        for (tz, expected) in [
            (None, Ok("00")),
            (Some("Here/Now"), Ok("00")),
            (Some(":Here/Now"), Ok("00")),
            (Some(localtime.to_str().unwrap()), Ok("00")),
            (Some(""), Ok("15")),
            (Some("XYZ-2"), Ok("17")),
            (Some("EST5EDT,M3.2.0,M11.1.0"), Ok("10")),
            (Some("no zone"), Err("TZ=\"no zone\" names no zone")),
            (Some("/no/such/file"), Err("/no/such/file: No such file or directory (os error 2)")),
        ] {
            let database = TimeZoneDatabase::from_dir(folder.join("zones")).unwrap();
            let zones = Zones { database, home: Home::System(tz.map(OsString::from), localtime.clone()) };
            let told = zones.home().map(|zone| hour(&zone));
            assert_eq!(told.as_deref().map_err(String::as_str), expected, "{tz:?}");
            assert_eq!(zones.warnings().len(), usize::from(expected.is_err()));
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
