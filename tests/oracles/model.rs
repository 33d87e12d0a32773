//! Two models of a server's session, which transcribe `src/protocol/protocol.md` and follow no code of the session.
//!
//! [`expected`] is the section "The invariant". It has no segments. [`Rules`] is the nine rules for a list of reads and
//! pauses, with the freedom to keep all bytes and to be slow. Where the conditions of the invariant hold, both give the
//! same output.

use daytime::protocol::{Framing, Reply, errors};

/// What the handler of a custom command returns.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Text(String),
    Error(String),
    Closing(String),
    Failure,
}

impl Answer {
    pub(crate) fn reply(self) -> Option<Reply> {
        match self {
            Answer::Text(text) => Some(text.into()),
            Answer::Error(text) => Some(Reply::error(text)),
            Answer::Closing(text) => Some(Reply::closing(text)),
            Answer::Failure => None,
        }
    }
}

/// The custom commands of a server: the reply to `help`, and the answer to a name in lower case with an argument. The
/// answer to an unknown name is `None`.
pub(crate) struct Custom<'a> {
    pub(crate) help: &'a str,
    pub(crate) answer: &'a dyn Fn(&str, &str) -> Option<Answer>,
}

/// What a server has sent, `■` at its end if it has closed, and the counts of its commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) text: String,
    pub(crate) executed: u64,
    pub(crate) invalid: u64,
}

/// The meaning of a line.
#[derive(Debug)]
pub(crate) enum Meaning {
    Blank,
    /// The end of the conversation without a reply.
    Quit,
    Reply(String),
    LastReply(String),
}

impl Output {
    fn count(&mut self, meaning: &Meaning) {
        self.executed += u64::from(!matches!(meaning, Meaning::Blank));
        if let Meaning::Reply(text) | Meaning::LastReply(text) = meaning {
            self.invalid += u64::from(is_error(text));
        }
    }
}

fn is_error(line: &str) -> bool {
    let whole = [
        "You entered an invalid command",
        "You entered an unknown time zone",
        "The command failed",
        "The server is full",
        "Too many connections from your address",
    ];
    whole.contains(&line) || (line.starts_with("The command failed: ") && line.len() > 20)
}

fn fits(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The output for a transcript and the end of file, in any segmentation: the section "The invariant".
pub(crate) fn expected(framing: Framing, greeting: &str, custom: &Custom, transcript: &[u8]) -> Output {
    let mut lines: Vec<&[u8]> = transcript.split(|&byte| byte == b'\n').collect();
    let tail = lines.pop().unwrap_or_default();
    let mut out = Output { text: greeting.to_owned(), ..Output::default() };
    if framing == Framing::Line {
        out.text += "\n";
    }
    for (index, line) in lines.iter().enumerate() {
        let (body, t) = line.strip_suffix(b"\r").map_or((*line, "\n"), |body| (body, "\r\n"));
        let first = index == 0;
        if first && framing == Framing::Auto {
            out.text += t;
        }
        let meaning = meaning(body, custom);
        out.count(&meaning);
        match meaning {
            Meaning::Blank if first => {}
            Meaning::Blank => out.text += t,
            Meaning::Reply(r) => out.text += &(r + t),
            Meaning::Quit => {
                out.text += "■";
                return out;
            }
            Meaning::LastReply(r) => {
                out.text += &(r + t + "■");
                return out;
            }
        }
    }
    let mut meaning = meaning(tail.strip_suffix(b"\r").unwrap_or(tail), custom);
    // Rule 4: before the first LF, a command of blanks alone gets an error.
    if matches!(meaning, Meaning::Blank) && framing == Framing::Auto && lines.is_empty() && !tail.is_empty() {
        meaning = Meaning::Reply(errors::INVALID.into());
    }
    out.count(&meaning);
    if let Meaning::Reply(r) | Meaning::LastReply(r) = meaning {
        out.text += &r;
    }
    out.text += "■";
    out
}

/// A server that follows the rules for each read, each pause and the end of file.
pub(crate) struct Rules<'a> {
    custom: &'a Custom<'a>,
    pub(crate) out: Output,
    held: Vec<u8>,
    pub(crate) framed: bool,
    open: bool,
    /// The terminator of the greeting answers an empty first line: `framing = line`.
    answered: bool,
    pub(crate) closed: bool,
    /// Rule 3 answered a read: the invariant does not cover that.
    pub(crate) answered_a_name: bool,
}

impl<'a> Rules<'a> {
    pub(crate) fn new(framing: Framing, greeting: &str, custom: &'a Custom<'a>) -> Self {
        let framed = framing == Framing::Line;
        let text = if framed { format!("{greeting}\n") } else { greeting.to_owned() };
        Rules {
            custom,
            out: Output { text, ..Output::default() },
            held: Vec::new(),
            framed,
            open: !framed,
            answered: framed,
            closed: false,
            answered_a_name: false,
        }
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        // Rule 3.
        if !self.framed && self.held.is_empty() && self.is_name(bytes) {
            self.answered_a_name = true;
            self.bare(bytes);
            return;
        }
        self.held.extend_from_slice(bytes);
        while let Some(end) = self.held.iter().position(|&byte| byte == b'\n')
            && !self.closed
        {
            let line: Vec<u8> = self.held.drain(..=end).take(end).collect();
            self.line(&line);
        }
    }

    /// Rules 1, 2, 5 and 7.
    fn line(&mut self, line: &[u8]) {
        self.framed = true;
        let (body, t) = line.strip_suffix(b"\r").map_or((line, "\n"), |body| (body, "\r\n"));
        let (open, answered) = (std::mem::take(&mut self.open), std::mem::take(&mut self.answered));
        if open {
            self.out.text += t;
        }
        match self.take(body) {
            Meaning::Blank if open || answered => {}
            Meaning::Blank => self.out.text += t,
            Meaning::Quit => self.closed = true,
            Meaning::Reply(r) => self.out.text += &(r + t),
            Meaning::LastReply(r) => {
                self.out.text += &(r + t);
                self.closed = true;
            }
        }
    }

    /// Rule 4.
    pub(crate) fn pause(&mut self) {
        if !self.framed && !self.closed && !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.bare(&held);
        }
    }

    /// Rule 6.
    pub(crate) fn end(&mut self) {
        if !self.closed && !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            let is_blank = held.len() <= 1025 && held.iter().all(|byte| b" \t\r".contains(byte));
            let too_long = held.strip_suffix(b"\r").unwrap_or(&held).len() > 1024;
            if !self.framed || !is_blank || too_long {
                self.bare(&held);
            }
        }
        self.closed = true;
    }

    /// The reply to a bare command is an open line.
    fn bare(&mut self, body: &[u8]) {
        match self.take(body.strip_suffix(b"\r").unwrap_or(body)) {
            Meaning::Blank => {
                self.out.text += errors::INVALID;
                self.out.executed += 1;
                self.out.invalid += 1;
                self.open = true;
            }
            Meaning::Quit => self.closed = true,
            Meaning::Reply(r) => {
                self.out.text += &r;
                self.open = true;
            }
            Meaning::LastReply(r) => {
                self.out.text += &r;
                self.closed = true;
            }
        }
    }

    fn take(&mut self, body: &[u8]) -> Meaning {
        let meaning = meaning(body, self.custom);
        self.out.count(&meaning);
        meaning
    }

    fn is_name(&self, bytes: &[u8]) -> bool {
        let built_in = ["day", "date", "time", "datetime", "timestamp", "tz", "next", "help", "quit", "exit"];
        str::from_utf8(bytes).is_ok_and(|name| {
            let name = name.to_ascii_lowercase();
            built_in.contains(&&name[..]) || (self.custom.answer)(&name, "").is_some()
        })
    }

    /// Everything that was sent, and `■` after a close.
    pub(crate) fn output(&self) -> Output {
        let text = self.out.text.clone() + if self.closed { "■" } else { "" };
        Output { text, ..self.out }
    }
}

/// The meaning of a command: rules 7 and 8, and the sections "Commands" and "Error lines".
pub(crate) fn meaning(body: &[u8], custom: &Custom) -> Meaning {
    let blank = [' ', '\t', '\r'];
    let text = match str::from_utf8(body) {
        _ if body.len() > 1024 => return Meaning::Reply(errors::INVALID.into()),
        Ok(text) if text.trim_matches(blank).is_empty() => return Meaning::Blank,
        Ok(text) if !text.chars().any(|c| c.is_ascii_control() && !blank.contains(&c)) => text.trim_matches(blank),
        _ => return Meaning::Reply(errors::INVALID.into()),
    };
    let (name, argument) = text.split_once(blank).unwrap_or((text, ""));
    let (name, argument) = (name.to_ascii_lowercase(), argument.trim_matches(blank));
    Meaning::Reply(match (&name[..], argument) {
        ("quit" | "exit", "") => return Meaning::Quit,
        ("timestamp", "") => "1795362297".into(),
        ("help", "") => custom.help.into(),
        ("help", name) => {
            let is_of = |usage: &&str| usage.split(' ').next().is_some_and(|known| known.eq_ignore_ascii_case(name));
            custom.help.split(", ").find(is_of).unwrap_or(errors::INVALID).into()
        }
        ("day" | "date" | "time" | "datetime" | "tz" | "next", zone) => match in_zone(zone) {
            Some([day, date, time, datetime, tz]) => match &name[..] {
                "day" => day,
                "date" => date,
                "time" => time,
                "datetime" => datetime,
                "tz" => tz,
                _ => "none".into(),
            },
            None => errors::UNKNOWN_ZONE.into(),
        },
        ("quit" | "exit" | "timestamp", _) => errors::INVALID.into(),
        (name, argument) => match (custom.answer)(name, argument) {
            None => errors::INVALID.into(),
            Some(Answer::Text(text)) if fits(&text, 1023) && !is_error(&text) => text,
            Some(Answer::Error(text)) if fits(&text, 1003) => format!("The command failed: {text}"),
            Some(Answer::Closing(text)) if text.is_empty() => return Meaning::Quit,
            Some(Answer::Closing(text)) if fits(&text, 1023) && !is_error(&text) => return Meaning::LastReply(text),
            // The handler wanted a close, and its text cannot be sent.
            Some(Answer::Closing(_)) => return Meaning::LastReply(errors::FAILED.into()),
            Some(Answer::Text(_) | Answer::Error(_) | Answer::Failure) => errors::FAILED.into(),
        },
    })
}

/// The replies to `day`, `date`, `time`, `datetime` and `tz` on Sunday, 2026-11-22 at 15:44:57 UTC, in UTC or at an
/// offset, which never changes.
fn in_zone(zone: &str) -> Option<[String; 5]> {
    let east = match zone.as_bytes() {
        b"" => 0,
        _ if zone.eq_ignore_ascii_case("utc") => 0,
        [sign @ (b'+' | b'-'), h1 @ b'0'..=b'2', h2 @ b'0'..=b'9', b':', m1 @ b'0'..=b'5', m2 @ b'0'..=b'9']
            if (h1, h2) <= (&b'2', &b'3') =>
        {
            let number = |high: &u8, low: &u8| i32::from(high - b'0') * 10 + i32::from(low - b'0');
            let minutes = number(h1, h2) * 60 + number(m1, m2);
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let minutes = 15 * 60 + 44 + east;
    let (day, minutes) = (minutes.div_euclid(24 * 60), minutes.rem_euclid(24 * 60));
    let names = ["Saturday", "Sunday", "Monday"];
    let date = format!("26-11-{}", 22 + day);
    let time = format!("{:02}:{:02}:57", minutes / 60, minutes % 60);
    let sign = if east < 0 { '-' } else { '+' };
    let offset = format!("{sign}{:02}:{:02}", east.abs() / 60, east.abs() % 60);
    let datetime = format!("20{date}T{time}{offset}");
    let west = if east > 0 { "-" } else { "" };
    let tz = match (east, east.abs() / 60, east.abs() % 60) {
        (0, ..) => "UTC0".to_owned(),
        (_, hours, 0) => format!("<{sign}{hours:02}>{west}{hours}"),
        (_, hours, minutes) => format!("<{sign}{hours:02}{minutes:02}>{west}{hours}:{minutes:02}"),
    };
    Some([names[(day + 1) as usize].to_owned(), date, time, datetime, tz])
}
