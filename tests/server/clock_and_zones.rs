//! The clock and the time zones of a server.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::Write,
    iter,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::SystemTime,
};

use daytime::{
    Clock, Service,
    chrono::{DateTime, Months, NaiveDate, NaiveDateTime, NaiveTime},
    protocol::{
        errors,
        errors::{INVALID, UNKNOWN_ZONE},
    },
    rfc867,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::common::{
    Folder, MOMENT, builder, in_own_process, in_own_process_with, installed,
    peer::{Peer, converse},
    server, skip, unbound_builder,
};

#[test]
fn the_clock_is_set_while_clients_are_served() {
    let server = server();
    let mut peers = [(); 2].map(|()| Peer::greeted(server.port()));
    peers.iter_mut().for_each(|peer| peer.ask("\n", "\n"));
    let nines = ["Thursday", "99-12-30", "22:00:00", "9999-12-30T22:00:00+00:00", "253402207200"];
    let table = [
        (MOMENT, ["Sunday", "26-11-22", "15:44:57", "2026-11-22T15:44:57+00:00", "1795362297"]),
        (MOMENT - 3600, ["Sunday", "26-11-22", "14:44:57", "2026-11-22T14:44:57+00:00", "1795358697"]),
        (MOMENT + 31_536_000, ["Monday", "27-11-22", "15:44:57", "2027-11-22T15:44:57+00:00", "1826898297"]),
        (0, ["Thursday", "70-01-01", "00:00:00", "1970-01-01T00:00:00+00:00", "0"]),
        (-1, ["Wednesday", "69-12-31", "23:59:59", "1969-12-31T23:59:59+00:00", "-1"]),
        (-62_135_596_800, ["Monday", "01-01-01", "00:00:00", "0001-01-01T00:00:00+00:00", "-62135596800"]),
        (i64::MIN, ["Monday", "01-01-01", "00:00:00", "0001-01-01T00:00:00+00:00", "-62135596800"]),
        (253_402_207_200, nines),
        (i64::MAX, nines),
        (MOMENT, ["Sunday", "26-11-22", "15:44:57", "2026-11-22T15:44:57+00:00", "1795362297"]),
    ];
    for (seconds, replies) in table {
        server.set_clock(Clock::fixed_unix(seconds));
        for peer in &mut peers {
            peer.ask("day\ndate\ntime\ndatetime\ntimestamp\n", replies.join("\n") + "\n");
        }
    }
    // A clock beyond the range shows the nearer end of the range, for any offset.
    for (offset, text) in [(i64::MAX, nines[3]), (i64::MIN, "0001-01-01T00:00:00+00:00")] {
        server.set_clock(Clock::offset(offset));
        peers[0].ask("datetime\n", format!("{text}\n"));
    }
    // A running clock.
    server.set_clock(Clock::offset(-1_000_000));
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() - 1_000_000;
    let before = now();
    peers[1].send("timestamp\n");
    let seconds = peers[1].line().parse().unwrap();
    assert!((before..=now()).contains(&seconds), "{seconds}");
}

/// An unterminated command at the end of file gets the time of the end of file.
#[test]
fn the_clock_is_read_again_for_a_last_command() {
    let server = builder().workers(1).start().unwrap();
    let mut waiting = Peer::greeted(server.port());
    waiting.ask("\ntime", "\n");
    let mut other = Peer::greeted(server.port());
    other.ask("time\n", "\n15:44:57\n");
    server.set_clock(Clock::fixed_unix(MOMENT + 3600));
    waiting.finish();
    waiting.expect("16:44:57");
    waiting.expect_eof();
}

/// All commands of one read get the same time, even if the clock jumps.
#[test]
fn one_read_is_answered_from_one_reading() {
    let midnight = 1_795_392_000;
    let replies = [
        "Sunday\n26-11-22\n23:59:59\n2026-11-22T23:59:59+00:00\n1795391999\n",
        "Monday\n26-11-23\n00:00:00\n2026-11-23T00:00:00+00:00\n1795392000\n",
    ];
    let server = builder().clock(Clock::fixed_unix(midnight)).start().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for seconds in [midnight - 1, midnight].into_iter().cycle().take_while(|_| !done.load(Relaxed)) {
                server.set_clock(Clock::fixed_unix(seconds));
            }
        });
        let mut peer = Peer::greeted(server.port());
        peer.ask("\n", "\n");
        let mut variants = HashSet::new();
        for _ in 0..2000 {
            peer.send("day\ndate\ntime\ndatetime\ntimestamp\n");
            let reply = (0..5).map(|_| peer.line() + "\n").collect::<String>();
            assert!(replies.contains(&reply.as_str()), "{reply}");
            variants.insert(reply);
        }
        done.store(true, Relaxed);
        assert_eq!(variants.len(), 2, "the clock was never set between two reads");
    });
}

/// S11 of faults.rs: the replies. faults.rs tests which files the server opens.
#[test]
fn commands_accept_known_zones() {
    let server = server();
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    let known = [
        ("day Asia/Tokyo", "Monday"),
        ("date Asia/Tokyo", "26-11-23"),
        ("time asia/tokyo", "00:44:57"),
        ("datetime ASIA/TOKYO", "2026-11-23T00:44:57+09:00"),
        ("datetime America/Argentina/Buenos_Aires", "2026-11-22T12:44:57-03:00"),
        ("datetime Etc/GMT+3", "2026-11-22T12:44:57-03:00"),
        ("datetime utc", "2026-11-22T15:44:57+00:00"),
        ("datetime +05:30", "2026-11-22T21:14:57+05:30"),
        ("datetime -23:59", "2026-11-21T15:45:57-23:59"),
        ("datetime", "2026-11-22T15:44:57+00:00"),
    ];
    for (command, reply) in known {
        peer.ask(format!("{command}\n"), format!("{reply}\n"));
    }
    let long = "x/".repeat(500);
    let unknown = [
        "No/Where",
        "../../etc/passwd",
        "Europe/../Europe/Berlin",
        "/usr/share/zoneinfo/Europe/Berlin",
        "/etc/localtime",
        ".",
        "..",
        "/",
        "-",
        "tzdata.zi",
        "zone.tab",
        "leapseconds",
        "localtime",
        "posixrules",
        "Europe",
        "Europe/",
        "Europe/Berlin/",
        "Europe//Berlin",
        "Europe/Berlin Asia/Tokyo",
        "+5:30",
        "+24:00",
        "+05:60",
        "EST5EDT,M3.2.0,M11.1.0",
        "Europe/Berl\u{0131}n",
        "%s%n",
        &long,
    ];
    for zone in unknown {
        peer.ask(format!("time {zone}\n"), format!("{UNKNOWN_ZONE}\n"));
    }
    // A command cannot have 10 kB.
    peer.ask(format!("time {}\n", "x".repeat(10_000)), format!("{INVALID}\n"));
    // More unknown names than the server remembers.
    for n in 0..600 {
        peer.ask(format!("time No/Where{n}\n"), format!("{UNKNOWN_ZONE}\n"));
    }
    peer.ask("day Asia/Tokyo\n", "Monday\n");
}

#[test]
fn tz_and_next_answer_for_the_time_of_the_clock() {
    let server = server();
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
    for (moment, zone, tz, next) in [
        ("2026-11-22T15:44:57Z", "Europe/Berlin", berlin, "2027-03-28T01:00:00Z +02:00"),
        ("2027-03-28T00:59:59Z", "europe/berlin", berlin, "2027-03-28T01:00:00Z +02:00"),
        ("2027-03-28T01:00:00Z", "EUROPE/BERLIN", berlin, "2027-10-31T01:00:00Z +01:00"),
        ("2026-11-22T15:44:57Z", "Asia/Tokyo", "JST-9", "none"),
        ("2026-11-22T15:44:57Z", "Asia/Kathmandu", "<+0545>-5:45", "none"),
        ("2026-11-22T15:44:57Z", "Etc/UTC", "UTC0", "none"),
        ("2026-11-22T15:44:57Z", "America/New_York", "EST5EDT,M3.2.0,M11.1.0", "2027-03-14T07:00:00Z -04:00"),
        ("2026-11-22T15:44:57Z", "Europe/Dublin", "IST-1GMT0,M10.5.0,M3.5.0/1", "2027-03-28T01:00:00Z +01:00"),
        (
            "2026-11-22T15:44:57Z",
            "Australia/Lord_Howe",
            "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
            "2027-04-03T15:00:00Z +10:30",
        ),
        // Morocco is an hour behind in the month of Ramadan, which no such string can say.
        ("2027-01-15T00:00:00Z", "Africa/Casablanca", "<+01>-1", "2027-02-07T02:00:00Z +00:00"),
        ("2027-02-15T00:00:00Z", "Africa/Casablanca", "<+00>0", "2027-03-14T02:00:00Z +01:00"),
        ("2027-02-15T00:00:00Z", "Africa/El_Aaiun", "<+00>0", "2027-03-14T02:00:00Z +01:00"),
        // The file lists another rule for the next two years: no daylight saving time since 2014, and before it.
        ("2013-06-01T00:00:00Z", "Europe/Moscow", "MSK-4", "2014-10-25T22:00:00Z +03:00"),
        ("2015-06-01T00:00:00Z", "Europe/Moscow", "MSK-3", "none"),
        ("1890-01-01T00:00:00Z", "Europe/Berlin", "LMT-0:53:28", "1893-03-31T23:06:32Z +01:00"),
    ] {
        server.set_clock(Clock::fixed(DateTime::parse_from_rfc3339(moment).unwrap()));
        peer.ask(format!("tz {zone}\nnext {zone}\n"), format!("{tz}\n{next}\n"));
    }
    // The server's zone.
    peer.ask("tz\nnext\n", "UTC0\nnone\n");
    let server = builder().timezone("Europe/Berlin").start().unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.ask("\ntz\nnext\n", format!("\n{berlin}\n2027-03-28T01:00:00Z +02:00\n"));
    for zone in ["No/Where", "../../etc/passwd", "localtime", ".", "Europe"] {
        peer.ask(format!("tz {zone}\nnext {zone}\n"), format!("{UNKNOWN_ZONE}\n{UNKNOWN_ZONE}\n"));
    }
}

/// The judge is the C library: it interprets each reply to `tz`, and Python's zoneinfo reads the files.
const JUDGE: &str = r#"
import datetime as dt, os, sys, time, zoneinfo

sys.modules["tzdata"] = None  # zones of this package are not the system's
HOUR, YEARS = 3600, 2 * 365 * 86400


def truth(zone, second):
    there = dt.datetime.fromtimestamp(second, zone)
    return there.utcoffset().total_seconds(), there.tzname()


def device(second):
    there = time.localtime(second)
    return there.tm_gmtoff, there.tm_zone


def first_change(zone, start):
    """The first second at which the offset of the zone is another one, in the next two years."""
    for low in range(start, start + YEARS, 12 * HOUR):
        high = low + 12 * HOUR
        if truth(zone, low)[0] != truth(zone, high)[0]:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if truth(zone, middle)[0] == truth(zone, low)[0] else (low, middle)
            return high
    return None


start, right, until = int(sys.argv[1]), 0, []
for line in sys.stdin:
    name, tz, text = line.rstrip("\n").split("\t")
    zone = zoneinfo.ZoneInfo(name)
    change = first_change(zone, start)
    if text == "none":
        told = None
    else:
        moment, offset = text.split(" ")
        told = int(dt.datetime.fromisoformat(moment).timestamp())
        there = dt.datetime.fromisoformat("2000-01-01T00:00:00" + offset).utcoffset().total_seconds()
        assert truth(zone, told)[0] == there != truth(zone, told - 1)[0], (name, text)
    assert told == change or (change is None and told >= start + YEARS), (name, text, change)
    os.environ["TZ"] = tz
    time.tzset()
    assert device(start) == truth(zone, start), (name, tz)
    moments = list(range(start, start + YEARS, 12 * HOUR))
    if change is not None:
        moments += [change - 1, change]
    wrong = [second for second in moments if device(second) != truth(zone, second)]
    if not wrong:
        right += 1
    else:
        # The string of the present offset, which is right until `next`.
        assert "," not in tz and min(wrong) >= told, (name, tz, min(wrong))
        until.append(name)
print(right, *sorted(until))
"#;

fn python(arguments: &[&str], input: String) -> String {
    let mut python = Command::new("python3");
    python.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The zones of this system's database, without those of Python's package tzdata.
const LIST: &str = r#"
import sys, zoneinfo

sys.modules["tzdata"] = None
print(*sorted(zoneinfo.available_timezones() - {"localtime"}), sep="\n")
"#;

fn zone_names() -> Vec<String> {
    python(&["-c", LIST], String::new()).lines().map(str::to_owned).collect()
}

/// 2026-11-22, 2027-02-15 (the month of Ramadan in Morocco), and 2027-07-01.
#[test]
fn tz_and_next_are_right_for_every_zone_for_two_years() {
    if !installed(&["python3"]) {
        return;
    }
    let names = zone_names();
    if names.len() < 100 {
        return skip("this machine does not have a zone database");
    }
    let server = server();
    for moment in [MOMENT, 1_802_649_600, 1_814_400_000] {
        server.set_clock(Clock::fixed_unix(moment));
        // One connection asks for all at once.
        let commands: String = names.iter().map(|name| format!("tz {name}\nnext {name}\n")).collect();
        let replies = String::from_utf8(converse(server.port(), format!("\n{commands}quit\n").as_bytes())).unwrap();
        let replies: Vec<&str> = replies.lines().skip(1).collect();
        assert_eq!(replies.len(), 2 * names.len());
        assert!(replies.iter().all(|reply| (3..=44).contains(&reply.len())), "{replies:?}");
        let answers = names.iter().zip(replies.chunks(2));
        let table = answers.map(|(name, replies)| format!("{name}\t{}\t{}\n", replies[0], replies[1])).collect();
        let judged = python(&["-c", JUDGE, &moment.to_string()], table);
        let mut judged = judged.split_whitespace();
        let right: usize = judged.next().unwrap().parse().unwrap();
        let until: Vec<&str> = judged.collect();
        println!("at {moment}: {right} strings are right for two years, and these until `next`: {until:?}");
        assert!(right + until.len() == names.len() && until.len() <= names.len() / 20, "{until:?}");
        assert!(until.contains(&"Africa/Casablanca"), "{until:?}");
    }
}

/// The changes of the offset of each zone as zdump(8) lists them: the second, and the offset in seconds from then on.
fn changes(names: &[&str]) -> HashMap<String, Vec<(i64, i64)>> {
    let output = Command::new("zdump").args(["-v", "-c", "2026,2030"]).args(names).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut changes: HashMap<String, Vec<(i64, i64)>> = HashMap::new();
    let mut before: Option<(&str, i64)> = None;
    for line in text.lines() {
        // `Europe/Berlin  Sun Mar 28 01:00:00 2027 UT = Sun Mar 28 03:00:00 2027 CEST isdst=1 gmtoff=7200`
        let Some((name, rest)) = line.split_once("  ") else { continue };
        let (Some((moment, _)), Some((_, offset))) = (rest.split_once(" UT = "), rest.split_once("gmtoff=")) else {
            continue;
        };
        let Ok(moment) = NaiveDateTime::parse_from_str(moment.trim(), "%a %b %e %H:%M:%S %Y") else { continue };
        let (second, offset) = (moment.and_utc().timestamp(), offset.trim().parse().unwrap());
        if before.is_some_and(|before| before.0 == name && before.1 != offset) {
            changes.entry(name.to_owned()).or_default().push((second, offset));
        }
        before = Some((name, offset));
    }
    changes
}

/// From the first of each month for two years.
#[test]
fn next_is_the_change_that_zdump_lists_for_every_zone() {
    if !installed(&["zdump", "python3"]) {
        return;
    }
    let names = zone_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let changes = changes(&names);
    if names.len() < 100 || changes.len() < 50 {
        return skip("this machine does not have a zone database");
    }
    let server = server();
    let first = NaiveDate::from_ymd_opt(2026, 12, 1).unwrap();
    let mut found = 0;
    for month in 0..24 {
        let moment = (first + Months::new(month)).and_time(NaiveTime::MIN).and_utc().timestamp();
        server.set_clock(Clock::fixed_unix(moment));
        let commands: String = names.iter().map(|name| format!("next {name}\n")).collect();
        let replies = String::from_utf8(converse(server.port(), format!("\n{commands}quit\n").as_bytes())).unwrap();
        for (name, reply) in names.iter().zip(replies.lines().skip(1)) {
            let known = changes.get(*name).map_or(&[][..], Vec::as_slice);
            let expected = known.iter().find(|(second, _)| *second > moment).map(|(second, offset)| {
                let sign = if *offset < 0 { '-' } else { '+' };
                let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
                let utc = DateTime::from_timestamp(*second, 0).unwrap().format("%FT%TZ");
                format!("{utc} {sign}{hours:02}:{minutes:02}")
            });
            match expected {
                Some(expected) => assert_eq!(reply, expected, "{name} from {moment}"),
                // Later than zdump was asked for, or never.
                None => assert!(reply == "none" || ("203".."a").contains(&reply), "{name} from {moment}: {reply}"),
            }
            found += usize::from(reply != "none");
        }
    }
    assert!(found > 1000, "{found} changes");
}

#[test]
fn the_zone_of_the_server_is_a_setting() {
    for (zone, reply) in
        [("Asia/Kolkata", "+05:30"), ("asia/kolkata", "+05:30"), ("+05:30", "+05:30"), ("UTC", "+00:00")]
    {
        let server = builder().timezone(zone).start().unwrap();
        assert!(server.warnings().is_empty());
        let output = String::from_utf8(converse(server.port(), b"\ndatetime")).unwrap();
        assert!(output.ends_with(reply), "{zone}: {output}");
    }
}

#[test]
fn a_zone_whose_file_cannot_be_opened_for_a_moment_is_right_again_at_once() {
    if !in_own_process() {
        return;
    }
    let server = builder().workers(1).start().unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 40, hard).unwrap();
    let taken: Vec<File> = iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!taken.is_empty());
    peer.ask("time Asia/Tokyo\n", format!("{UNKNOWN_ZONE}\n"));
    drop(taken);
    peer.ask("time Asia/Tokyo\n", "00:44:57\n");
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
}

#[test]
fn every_worker_reloads_zones() {
    // The environment names the database, so a new process is needed.
    let folder = Folder::new();
    if !in_own_process_with(&[("TZDIR", folder.path())]) {
        return;
    }
    let zones = PathBuf::from(std::env::var_os("TZDIR").unwrap());
    fs::create_dir(zones.join("Here")).unwrap();
    let put = |zone: &str| {
        // A package manager also renames a new file over the old one.
        let copied = fs::copy(Path::new("/usr/share/zoneinfo").join(zone), zones.join("new"));
        copied.and_then(|_| fs::rename(zones.join("new"), zones.join("Here/Now"))).is_ok()
    };
    if !put("Asia/Tokyo") {
        return skip("this machine does not have a zone database");
    }
    let settings = unbound_builder().listen("127.0.0.1:0").listen_as(Service::Rfc867, "127.0.0.1:0");
    let server = settings.timezone("Here/Now").start().unwrap();
    let mut peers: Vec<Peer> = (0..4).map(|_| Peer::greeted(server.port())).collect();
    peers.iter_mut().for_each(|peer| peer.ask("\n", "\n"));
    let mut assert_all = |replies: &str, line: &str| {
        peers.iter_mut().for_each(|peer| peer.ask("time\ntime here/now\n", replies));
        for _ in 0..2 {
            assert_eq!(rfc867(&server.addresses_of(Service::Rfc867)[0]).unwrap(), line);
        }
    };
    let tokyo = ("00:44:57\n00:44:57\n", "Monday, November 23, 2026 00:44:57-JST");
    assert_all(tokyo.0, tokyo.1);
    assert!(put("America/New_York"));
    assert_all(tokyo.0, tokyo.1);
    server.reload_zones();
    let new_york = ("10:44:57\n10:44:57\n", "Sunday, November 22, 2026 10:44:57-EST");
    assert_all(new_york.0, new_york.1);
    // The server keeps its zone if the file is missing.
    fs::remove_file(zones.join("Here/Now")).unwrap();
    server.handle().reload_zones();
    assert_all(&format!("10:44:57\n{}\n", errors::UNKNOWN_ZONE), new_york.1);
    assert!(put("Asia/Tokyo"));
    server.reload_zones();
    assert_all(tokyo.0, tokyo.1);
}
