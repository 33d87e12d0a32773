//! A client's session survives any server, stays small, and returns each reply to its own command.
//!
//! The input is a list of steps. A byte chooses the step, and a line with its parameter follows.
//!
//! | first byte, modulo 8 | step |
//! |---|---|
//! | 0, 1, 2 | the server sends the line and an LF |
//! | 3 | the server sends the line alone |
//! | 4 | the client asks the line |
//! | 5 | the client asks `day`, `date`, `time` or another command, chosen by the line |
//! | 6 | a pause of the quiet time |
//! | 7 | the server sends a byte many times, up to 130,560 bytes |

use daytime::protocol::{ClientSession, SessionError, errors};

use super::Input;

/// The most bytes of a greeting or a reply.
const LINE_MAX: usize = 64 * 1024;

enum Step {
    Read(Vec<u8>),
    Ask(String),
    Pause,
}

fn step(input: &mut Input) -> Step {
    match input.byte() % 8 {
        0..3 => Step::Read([input.line(), b"\n"].concat()),
        3 => Step::Read(input.line().to_vec()),
        4 => Step::Ask(input.text()),
        5 => {
            let commands = ["day", "DAY", "date", "time", "datetime", "help me", " day"];
            Step::Ask(commands[input.line().len() % commands.len()].into())
        }
        6 => Step::Pause,
        _ => {
            let [byte, times] = input.bytes();
            Step::Read(vec![byte; usize::from(times) * 512])
        }
    }
}

/// A client that reads while it awaits a greeting or a reply, as ours does.
#[derive(Default)]
struct Driver {
    session: ClientSession,
    /// The bytes after the greeting.
    stream: Vec<u8>,
    /// The commands, and the replies so far.
    asked: Vec<String>,
    replies: Vec<String>,
    error: Option<SessionError>,
}

impl Driver {
    fn read(&mut self, bytes: &[u8]) {
        let greeted = self.session.greeting().is_some();
        let result = self.session.receive(bytes);
        if greeted {
            assert_eq!(result, Ok(()));
            self.stream.extend_from_slice(bytes);
        } else if self.session.frames_lines()
            && let Some(end) = bytes.iter().position(|&byte| byte == b'\n')
        {
            self.stream.extend_from_slice(&bytes[end + 1..]);
        }
        match result {
            Ok(()) => self.replies(),
            Err(error) => self.fail(error),
        }
    }

    /// Takes every reply that is complete.
    fn replies(&mut self) {
        loop {
            match self.session.reply() {
                Ok(Some(reply)) => {
                    assert!(self.replies.len() < self.asked.len(), "{reply:?} without a command");
                    self.replies.push(reply);
                }
                Ok(None) => break,
                Err(error) => {
                    self.fail(error);
                    break;
                }
            }
        }
        if self.error.is_none() {
            assert_eq!(self.session.awaits_replies(), self.replies.len() < self.asked.len());
        }
    }

    fn ask(&mut self, command: &str) {
        let mut out = Vec::new();
        let before = self.asked.len() - self.replies.len();
        match self.session.ask(command, &mut out) {
            Ok(()) => {
                let sent = if self.session.frames_lines() { format!("{command}\n") } else { command.into() };
                assert_eq!(out, sent.as_bytes());
                assert!(!command.trim().is_empty() && command.len() <= 1024 && !command.contains(['\r', '\n', '\0']));
                assert!(!self.has_bytes_without_a_command(), "bytes without a command before {command:?}");
                assert!(self.session.frames_lines() || before == 0, "an original server has two commands");
                self.asked.push(command.to_owned());
                self.replies();
            }
            Err(SessionError::InvalidCommand(_)) => {
                assert!(out.is_empty());
                assert_eq!(self.session.awaits_replies(), before > 0);
            }
            Err(error) => {
                assert!(out.is_empty() && self.has_bytes_without_a_command(), "{command:?} is not sent");
                self.fail(error);
            }
        }
    }

    /// Whether more bytes than those of the replies to all commands so far have arrived.
    fn has_bytes_without_a_command(&self) -> bool {
        if self.session.frames_lines() {
            let mut ends = self.stream.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
            let expected = match self.asked.len() {
                0 => Some(0),
                n => ends.nth(n - 1),
            };
            expected.is_some_and(|expected| self.stream.len() > expected)
        } else {
            self.replies.len() == self.asked.len()
                && self.stream.len() > self.replies.iter().map(String::len).sum::<usize>()
        }
    }

    fn fail(&mut self, error: SessionError) {
        match &error {
            SessionError::Protocol(bytes) => assert!(bytes.len() <= LINE_MAX, "{} bytes", bytes.len()),
            SessionError::Refused(line) => assert!(errors::ALL.contains(&&line[..])),
            SessionError::InvalidCommand(_) | SessionError::Closed => panic!("{error:?}"),
        }
        self.error = Some(error);
    }

    /// Each reply is the line, or the text of a known shape, at its place in the stream.
    fn check(&self) {
        let mut rest = &self.stream[..];
        for (reply, command) in self.replies.iter().zip(&self.asked) {
            if self.session.frames_lines() {
                let end = rest.iter().position(|&byte| byte == b'\n').expect("a reply is a line");
                let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
                assert_eq!(reply.as_bytes(), line, "the reply to {command:?}");
                rest = &rest[end + 1..];
            } else {
                assert!(fits(command, reply), "{reply:?} to {command:?}");
                rest = rest.strip_prefix(reply.as_bytes()).expect("a reply is at its place");
            }
        }
    }
}

/// Whether an original server sends this reply.
fn fits(command: &str, reply: &str) -> bool {
    let digits = |separator: char| {
        let mut parts = reply.split(separator);
        let two =
            |part: Option<&str>| part.is_some_and(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()));
        two(parts.next()) && two(parts.next()) && two(parts.next()) && parts.next().is_none()
    };
    reply == "You entered an invalid command"
        || match &command.to_ascii_lowercase()[..] {
            "day" => ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"].contains(&reply),
            "date" => digits('-'),
            "time" => digits(':'),
            _ => false,
        }
}

pub(crate) fn check(data: &[u8]) {
    let mut input = Input(data);
    let mut driver = Driver::default();
    while !input.is_empty() && driver.error.is_none() {
        match step(&mut input) {
            Step::Read(bytes) => {
                // A client that awaits nothing reads nothing, or finds one read of it later.
                if driver.session.greeting().is_none()
                    || driver.session.awaits_replies()
                    || !driver.has_bytes_without_a_command()
                {
                    driver.read(&bytes);
                }
            }
            Step::Ask(command) => driver.ask(&command),
            Step::Pause if driver.session.needs_timeout() => match driver.session.handle_timeout() {
                Ok(()) => assert!(driver.session.greeting().is_some() && !driver.session.frames_lines()),
                Err(error) => driver.fail(error),
            },
            Step::Pause => assert_eq!(driver.session.handle_timeout(), Ok(())),
        }
    }
    driver.check();
    // Returned bytes, a reply that is not complete, and one read. Each byte is shown as a number and a comma.
    let most = 2 * LINE_MAX + 255 * 512;
    assert!(driver.stream.len() < LINE_MAX || format!("{:?}", driver.session).len() < 500 + 5 * most);
    segmentations(&driver);
    let greeted = driver.session.greeting().is_some();
    let end = driver.session.handle_eof();
    assert!(end == SessionError::Closed || !greeted);
    assert!(matches!(driver.session.take_unexpected(), SessionError::Protocol(bytes) if bytes.len() <= LINE_MAX));
}

/// A server that frames lines sends the stream in one segment, in small ones, and byte by byte, to a client that has asked
/// everything before: all give the same replies and the same end.
fn segmentations(driver: &Driver) {
    if !driver.session.frames_lines() || driver.stream.len() > 4 * 1024 {
        return;
    }
    let lines = driver.stream.iter().filter(|byte| **byte == b'\n').count();
    let run = |size: usize| {
        let mut client = Driver::default();
        client.read(b"Hi\n");
        (0..lines.clamp(1, 64)).for_each(|_| client.ask("day"));
        for segment in driver.stream.chunks(size) {
            if client.error.is_none() && client.session.awaits_replies() {
                client.read(segment);
            }
        }
        client.check();
        (client.replies, client.error.is_some())
    };
    let whole = run(usize::MAX);
    assert_eq!(run(1), whole);
    assert_eq!(run(7), whole);
}
