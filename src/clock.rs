//! What time it is, and where: the clocks that a server answers from, and the system's time zones.
//!
//! Only replies depend on these clocks. Every timeout uses the monotonic clock.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::Ordering},
    time::SystemTime,
};

use chrono::{DateTime, Utc};
use jiff::tz::TimeZoneDatabase;

use crate::{
    Error,
    protocol::{FormattedTime, Zone, footer},
    sync::AtomicI64,
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
#[must_use = "a server uses it only after `clock` or `set_clock`"]
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
    #[must_use]
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
///
/// Its order is relaxed: what happens after [`set`](Self::set) reads the new clock. src/server/models.rs has the model.
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

/// The folders of the system's time zone database, of which the first that has zones is used.
const PLACES: [&str; 3] = ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];

/// The system's time zone database and the zone of the server, opened once for each server. The environment is read here
/// and never again.
#[derive(Debug)]
pub(crate) struct Zones {
    /// `TZDIR` when the server was made, and the folders of the system.
    places: Vec<PathBuf>,
    database: RwLock<Arc<Database>>,
    renewed: Mutex<Renewal>,
    local: LocalZone,
    local_at_start: Zone,
}

/// A renewal of the zones: how many times it was requested, and how many times it was due. Each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Renewal {
    pub(crate) requested: u64,
    pub(crate) due: u64,
}

#[derive(Debug)]
struct Database {
    zones: TimeZoneDatabase,
    /// The index of its place, or their number if no place has zones.
    place: usize,
    /// Its folder.
    folder: PathBuf,
    /// The footers of the files that were read, by the names of the database. jiff has no public way to them.
    footers: Mutex<HashMap<String, Option<Arc<str>>>>,
}

impl Database {
    /// The database of the first of these places that has zones.
    fn open(places: &[PathBuf]) -> Option<Self> {
        let open = |(place, folder): (usize, &PathBuf)| {
            let zones = TimeZoneDatabase::from_dir(folder).ok()?;
            Some(Database { zones, place, folder: folder.clone(), footers: Mutex::default() })
        };
        places.iter().enumerate().find_map(open)
    }

    /// A database without zones.
    fn none(place: usize) -> Self {
        Database { zones: TimeZoneDatabase::none(), place, folder: PathBuf::new(), footers: Mutex::default() }
    }

    /// The zone with a name, in any letter case. `None` if it is unknown, or its file cannot be read now.
    fn get(&self, name: &str) -> Option<Zone> {
        let zone = self.zones.get(name).ok()?;
        // The name as the listing of the database has it. UTC and "unknown" come without a file.
        let footer = match zone.iana_name().filter(|name| !name.eq_ignore_ascii_case("utc")) {
            Some(name) => self.footer(name)?,
            None => None,
        };
        Some(Zone::new(zone, footer))
    }

    fn footer(&self, name: &str) -> Option<Option<Arc<str>>> {
        let footers = || self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(footer) = footers().get(name) {
            return Some(footer.clone());
        }
        let footer = footer(&read(&self.folder.join(name)).ok()?);
        footers().insert(name.to_owned(), footer.clone());
        Some(footer)
    }

    fn is_empty(&self) -> bool {
        self.zones.available().next().is_none()
    }
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
    /// `/etc/localtime`. A system's zone that cannot be read is UTC, and [`warnings`](Self::warnings) says why.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the name is unknown, [`Error::Io`] if its zone cannot be read.
    pub(crate) fn open(local: Option<&str>) -> Result<Self, Error> {
        let local = match local {
            Some(name) => LocalZone::Named(name.to_owned()),
            None => LocalZone::System(std::env::var_os("TZ"), "/etc/localtime".into()),
        };
        Self::of(places(), local)
    }

    fn of(places: Vec<PathBuf>, local: LocalZone) -> Result<Self, Error> {
        let database = Database::open(&places).unwrap_or_else(|| Database::none(places.len()));
        let database = RwLock::new(Arc::new(database));
        let mut zones = Zones { places, database, renewed: Mutex::default(), local, local_at_start: Zone::UTC };
        match (zones.local(), &zones.local) {
            (Ok(zone), _) => zones.local_at_start = zone,
            (Err(_), LocalZone::Named(name)) => return Err(zones.error(name)),
            (Err(_), LocalZone::System(..)) => {}
        }
        Ok(zones)
    }

    /// Why there is no zone with a name.
    fn error(&self, name: &str) -> Error {
        let database = self.database();
        let reason = match is_plausible(name) {
            true if database.is_empty() => "the time zone database is missing",
            true if database.zones.available().any(|zone| zone.as_str().eq_ignore_ascii_case(name)) => {
                "the system cannot open its file"
            }
            _ => {
                return Error::Invalid(format!(
                    "the time zone {name:?} is unknown; expected a name such as Europe/Berlin, UTC, or an offset such as \
                     +05:30"
                ));
            }
        };
        Error::Io(io::Error::new(io::ErrorKind::NotFound, reason), format!("read the time zone {name:?}"))
    }

    /// The reasons why the server's zone became UTC, or names are unknown; empty if there are none.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.database().is_empty() {
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
            LocalZone::System(tz, localtime) => system_zone(&self.database(), tz.as_deref(), localtime),
        }
    }

    /// The server's zone when it started, for a thread that cannot read it later.
    pub(crate) fn local_at_start(&self) -> Zone {
        self.local_at_start.clone()
    }

    /// [Renews](Self::renew) the zones for the first thread that asks for this renewal, and lets the others wait for that: a
    /// listing of the database takes milliseconds and hundreds of kilobytes.
    pub(crate) fn renew_for(&self, renewal: Renewal) {
        let mut done = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if renewal.requested > done.requested || renewal.due > done.due {
            self.renew();
            done.requested = done.requested.max(renewal.requested);
            done.due = done.due.max(renewal.due);
        }
    }

    /// Opens the database again, so that files that were replaced in the meantime are read again, and a database that was
    /// missing is found. If the system cannot open it now, the former one stays, with the zones that it has in memory.
    fn renew(&self) {
        let place = self.database.read().unwrap_or_else(PoisonError::into_inner).place;
        // Not from a later place: an empty `TZDIR` that once had zones is not a reason to take others.
        let last = self.places.len().min(place + 1);
        let database = match Database::open(&self.places[..last]) {
            Some(database) => database,
            None if self.places.get(place).is_some_and(|path| cannot_be_read(path)) => return,
            None => Database::none(place),
        };
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(database);
    }

    /// The zone that a client names: `UTC`, an offset, or a name of the database in any letter case.
    ///
    /// A name never becomes a path. The database is asked only for a plausible zone name, and looks it up in its own
    /// listing of the files. An unknown name therefore reads nothing; the listing is renewed every five minutes.
    pub(crate) fn get(&self, name: &str) -> Option<Zone> {
        Zone::parse(name).or_else(|| match is_plausible(name) {
            true => self.database().get(name),
            false => None,
        })
    }

    fn database(&self) -> Arc<Database> {
        self.database.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a folder exists, as far as the system can tell now, and cannot be read.
fn cannot_be_read(folder: &Path) -> bool {
    fs::read_dir(folder).is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
}

/// Whether a name may be one of the database. It is never a path.
fn is_plausible(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
    // Two entries of the database that are links to the system's choice instead of zones.
    let link = ["localtime", "posixrules"].iter().any(|link| name.eq_ignore_ascii_case(link));
    name.len() <= 64 && name.bytes().all(allowed) && !name.starts_with('/') && !link
}

/// The names of the database of this system that a client may use, in order.
#[cfg(feature = "cli")]
pub(crate) fn zone_names() -> Vec<String> {
    let Some(database) = Database::open(&places()) else { return Vec::new() };
    let mut names: Vec<String> = database.zones.available().map(|name| name.as_str().to_owned()).collect();
    names.retain(|name| is_plausible(name));
    names.sort_unstable();
    names
}

/// `TZDIR` of the environment, and the folders of the system.
fn places() -> Vec<PathBuf> {
    std::env::var_os("TZDIR").map(PathBuf::from).into_iter().chain(PLACES.map(PathBuf::from)).collect()
}

/// The zone of `TZ`, interpreted as tzset(3) does, or of the file.
fn system_zone(database: &Database, tz: Option<&OsStr>, localtime: &Path) -> Result<Zone, String> {
    let read = |path: &Path| {
        let file = read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Zone::from_tzif(&file).map_err(|error| format!("{}: {error}", path.display()))
    };
    let Some(tz) = tz else { return read(localtime) };
    let tz = tz.to_str().ok_or("TZ is not UTF-8")?;
    let name = tz.strip_prefix(':').unwrap_or(tz);
    if name.is_empty() {
        return Ok(Zone::UTC);
    }
    if name.starts_with('/') {
        return read(Path::new(name));
    }
    database.get(name).or_else(|| Zone::from_posix(name)).ok_or_else(|| format!("TZ={tz:?} is not a time zone"))
}

/// Reads a zone file. They are a hundred times smaller than the limit, which is for devices that do not end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
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

    fn zones(folder: &Path, local: LocalZone) -> Result<Zones, Error> {
        Zones::of(vec![folder.join("missing"), folder.join("zones")], local)
    }

    #[test]
    fn the_database_is_listed_once_for_all_threads() {
        let Ok(zones) = Zones::open(Some("UTC")) else { return };
        let mut last = zones.database();
        for (renewal, renews) in
            [((0, 0), false), ((1, 0), true), ((1, 0), false), ((1, 1), true), ((0, 1), false), ((2, 0), true)]
        {
            zones.renew_for(Renewal { requested: renewal.0, due: renewal.1 });
            let database = zones.database();
            assert_eq!(!Arc::ptr_eq(&database, &last), renews, "{renewal:?}");
            last = database;
        }
    }

    #[test]
    fn a_database_that_is_missing_at_the_start_comes_back() {
        let Some(folder) = folder() else { return };
        let folder = folder.path();
        let (there, away) = (folder.join("zones"), folder.join("away"));
        fs::rename(&there, &away).unwrap();
        let zones = zones(folder, LocalZone::System(Some("Here/Now".into()), PathBuf::new())).unwrap();
        let texts = || (zones.get("Here/Now").map(|zone| hour(&zone)), zones.local().ok().map(|zone| hour(&zone)));
        assert_eq!((texts(), hour(&zones.local_at_start())), ((None, None), "15".into()));
        assert_eq!(zones.warnings().len(), 1);
        fs::rename(&away, &there).unwrap();
        zones.renew();
        assert_eq!(texts(), (Some("00".into()), Some("00".into())));
        assert_eq!(zones.warnings(), [""; 0]);
        // The same for one that is missing later.
        fs::rename(&there, &away).unwrap();
        zones.renew();
        assert_eq!(texts(), (None, None));
        fs::rename(&away, &there).unwrap();
        zones.renew();
        assert_eq!(texts(), (Some("00".into()), Some("00".into())));
        // A folder that is there and cannot be read leaves the zones in memory.
        fs::rename(&there, &away).unwrap();
        fs::write(&there, "").unwrap();
        zones.renew();
        assert_eq!(texts(), (Some("00".into()), Some("00".into())));
    }

    #[test]
    fn a_zone_that_was_named_and_cannot_be_read_is_an_error() {
        let Some(folder) = folder() else { return };
        let folder = folder.path();
        let open =
            |name: &str| zones(folder, LocalZone::Named(name.into())).map(drop).map_err(|error| error.to_string());
        assert_eq!(open("here/now"), Ok(()));
        let unknown = "the time zone \"No/Where\" is unknown; expected a name such as Europe/Berlin, UTC, or an offset such as +05:30";
        assert_eq!(open("No/Where"), Err(unknown.into()));
        // The listing has the name, and its target is missing.
        let file = folder.join("zones/Here/Now");
        let listed = zones(folder, LocalZone::Named("Here/Now".into())).unwrap();
        fs::remove_file(&file).unwrap();
        let error = "read the time zone \"Other\": the system cannot open its file";
        assert_eq!(listed.error("Here/Now").to_string(), error.replace("Other", "Here/Now"));
        let missing = "read the time zone \"Here/Now\": the time zone database is missing";
        assert_eq!(open("Here/Now"), Err(missing.into()));
        assert_eq!((open("UTC"), open("+05:30")), (Ok(()), Ok(())));
    }

    #[test]
    fn zone_files_that_are_replaced_are_read_again() {
        let Some(folder) = folder() else { return };
        let folder = folder.path();
        let zones = zones(folder, LocalZone::System(None, folder.join("localtime"))).unwrap();
        let hours = || (hour(&zones.get("here/now").unwrap()), hour(&zones.local().unwrap()));
        assert_eq!(hours(), ("00".into(), "00".into()), "Asia/Tokyo");
        assert!(put(folder, "America/New_York"));
        zones.renew();
        assert_eq!(hours(), ("10".into(), "10".into()), "America/New_York");
    }

    fn tz(zone: &Zone) -> String {
        FormattedTime::new(1_795_362_297, zone, &Formats::default()).text(Command::Tz).to_owned()
    }

    #[test]
    fn the_footer_is_read_again_with_its_file() {
        let Some(folder) = folder() else { return };
        let folder = folder.path();
        let zones = zones(folder, LocalZone::System(None, folder.join("localtime"))).unwrap();
        let texts = || (tz(&zones.get("HERE/now").unwrap()), tz(&zones.local().unwrap()));
        assert_eq!(texts(), ("JST-9".into(), "JST-9".into()));
        assert!(put(folder, "America/New_York"));
        zones.renew();
        let new_york = "EST5EDT,M3.2.0,M11.1.0".to_owned();
        assert_eq!(texts(), (new_york.clone(), new_york));
        // A footer that is not that of the transitions: the file is replaced after jiff has read it.
        assert!(put(folder, "Europe/Berlin"));
        zones.renew();
        let berlin = zones.database().zones.get("Here/Now").unwrap();
        assert_eq!(tz(&Zone::new(berlin.clone(), Some("EST5EDT,M3.2.0,M11.1.0".into()))), "CET-1");
        // A file that cannot be read is not a reason for a wrong answer.
        fs::remove_file(folder.join("zones/Here/Now")).unwrap();
        assert!(zones.get("Here/Now").is_none());
        assert!(put(folder, "Europe/Berlin"));
        assert_eq!(tz(&zones.get("Here/Now").unwrap()), "CET-1CEST,M3.5.0,M10.5.0/3");
        // From then on, both are in memory.
        fs::remove_file(folder.join("zones/Here/Now")).unwrap();
        assert_eq!(tz(&zones.get("Here/Now").unwrap()), "CET-1CEST,M3.5.0,M10.5.0/3");
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
            let zones = zones(folder, LocalZone::System(tz.map(OsString::from), localtime.clone())).unwrap();
            let result = zones.local().map(|zone| hour(&zone));
            assert_eq!(result.as_deref().map_err(String::as_str), expected, "{tz:?}");
            if let (Some(rules @ ("XYZ-2" | "EST5EDT,M3.2.0,M11.1.0")), Ok(zone)) = (tz, zones.local()) {
                assert_eq!(super::tests::tz(&zone), rules);
            }
            assert_eq!(zones.warnings().len(), usize::from(expected.is_err()));
        }
    }
}
