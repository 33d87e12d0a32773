//! A blocking client. Each of its calls ends by its deadline.
//!
//! [`ClientSession`] knows what to send and where a reply ends. This file decides who asks, and when a client is broken;
//! `transport.rs` has the socket and the deadline, `connect.rs` the way from a name to a socket. A system call waits at
//! most 100 ms before the deadline and the interrupt function are checked again.

mod connect;
mod rfc;
mod transport;

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, Weekday};
use socket2::SockRef;

use crate::{
    Address, DEFAULT_PORT, Error,
    protocol::{
        ClientSession, QUIET, SessionError, errors, parse_date, parse_datetime, parse_day, parse_next_transition,
        parse_time, parse_timestamp, parse_tz,
    },
};
use connect::{connect_any, resolve};
pub use rfc::{rfc867, rfc867_udp, rfc868, rfc868_udp};
use transport::{Deadline, Interrupt, Transport};

/// The bytes of commands that a pipeline keeps in flight. A server reads nothing while it owes replies, so a client that
/// only wrote would wait forever. This size fits into the buffers of any socket.
const IN_FLIGHT: usize = 4096;

/// The settings of a client: its timeout, and a function that interrupts it.
///
/// ```
/// use std::{sync::{Arc, atomic::{AtomicBool, Ordering::Relaxed}}, time::Duration};
/// use daytime::{Client, Server};
///
/// let server = Server::builder().listen("127.0.0.1:0").start()?;
/// let cancelled = Arc::new(AtomicBool::new(false));
/// let flag = cancelled.clone(); // another thread sets it
/// let mut client = Client::builder()
///     .timeout(Duration::from_secs(2))
///     .interrupt(move || flag.load(Relaxed))
///     .connect(&server.addresses()[0])?;
/// assert_eq!(client.request("timestamp")?.len(), 10);
/// # Ok::<(), daytime::Error>(())
/// ```
#[must_use = "nothing is connected before `connect`"]
pub struct ClientBuilder {
    timeout: Duration,
    interrupt: Option<Interrupt>,
}

impl ClientBuilder {
    /// The longest duration of each call, connecting included: from resolving the name to the greeting. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// A function that is asked every 100 ms while a call blocks. If it returns true, the call ends with
    /// [`Error::Interrupted`].
    pub fn interrupt(mut self, interrupt: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.interrupt = Some(Box::new(interrupt));
        self
    }

    /// Connects to the first IP address that answers, and reads the greeting.
    ///
    /// # Errors
    /// [`Error::Io`] if no address accepts the connection, [`Error::Timeout`], [`Error::Interrupted`],
    /// [`Error::Refused`] with the server's error line, [`Error::Protocol`] with the received bytes if they are not a
    /// greeting.
    pub fn connect(self, address: impl Into<Address>) -> Result<Client, Error> {
        let deadline = Deadline::new(self.timeout, self.interrupt.as_ref());
        let stream = connect_any(&resolve(address.into(), DEFAULT_PORT, &deadline)?, &deadline)?;
        let mut client = Client {
            transport: Transport::new(stream),
            session: ClientSession::new(),
            out: Vec::new(),
            timeout: self.timeout,
            interrupt: self.interrupt,
            broken: false,
            lacks_datetime: false,
        };
        client.greet()?;
        Ok(client)
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// One connection to a server of this crate, which frames lines, or to the original classroom program, which does not.
/// The client detects the kind when it connects.
///
/// An error other than [`Error::Invalid`], [`Error::Refused`] and [`Error::NoOffset`] breaks the client: the next bytes
/// could be the answer to an earlier command. From then on every call returns [`Error::Closed`].
///
/// ```
/// use daytime::{Client, Server, chrono::Weekday};
///
/// let server = Server::builder()
///     .listen("127.0.0.1:0")
///     .timezone("UTC")
///     .clock(daytime::Clock::fixed_unix(1_795_362_297))
///     .start()?;
/// let mut client = Client::connect(&server.addresses()[0])?;
/// assert_eq!(client.day()?, Weekday::Sun);
/// assert_eq!(client.datetime_in("Asia/Tokyo")?.to_rfc3339(), "2026-11-23T00:44:57+09:00");
/// assert_eq!(client.request("help")?.split(", ").next(), Some("day [ZONE]"));
/// client.quit()?;
/// # Ok::<(), daytime::Error>(())
/// ```
#[must_use = "dropping it closes the connection"]
pub struct Client {
    transport: Transport,
    session: ClientSession,
    /// The bytes to send; empty between calls.
    out: Vec<u8>,
    timeout: Duration,
    interrupt: Option<Interrupt>,
    broken: bool,
    /// The server has answered that it does not know `datetime`.
    lacks_datetime: bool,
}

impl Client {
    /// Connects with the default settings, see [`ClientBuilder::connect`].
    ///
    /// # Errors
    /// Those of [`ClientBuilder::connect`].
    pub fn connect(address: impl Into<Address>) -> Result<Client, Error> {
        Self::builder().connect(address)
    }

    /// The default settings.
    pub fn builder() -> ClientBuilder {
        ClientBuilder { timeout: Duration::from_secs(5), interrupt: None }
    }

    /// Changes the timeout of later calls, see [`ClientBuilder::timeout`].
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// The greeting of the server.
    #[must_use]
    pub fn greeting(&self) -> &str {
        self.session.greeting().unwrap_or_default()
    }

    /// The address of the server.
    ///
    /// # Errors
    /// [`Error::Io`] once the connection is broken.
    pub fn peer(&self) -> Result<Address, Error> {
        let peer = SockRef::from(&self.transport.stream).peer_addr().map_err(Error::io("read the peer's address"))?;
        Ok(peer.as_socket().map_or_else(|| Address::of_unix(&peer), Address::from))
    }

    /// The day of the week in the server's zone. [`day_name`](crate::protocol::day_name) has its full name.
    ///
    /// # Errors
    /// As [`request`](Self::request), and [`Error::Protocol`] if the reply is not a day.
    pub fn day(&mut self) -> Result<Weekday, Error> {
        self.day_of(None)
    }

    /// The day of the week in a zone, see [`datetime_in`](Self::datetime_in).
    ///
    /// # Errors
    /// As [`day`](Self::day), and [`Error::Refused`] if the server does not know the zone, or zones at all.
    pub fn day_in(&mut self, zone: &str) -> Result<Weekday, Error> {
        self.day_of(Some(zone))
    }

    /// The date in the server's zone.
    ///
    /// # Errors
    /// As [`request`](Self::request), and [`Error::Protocol`] if the reply is not a date.
    pub fn date(&mut self) -> Result<NaiveDate, Error> {
        self.date_of(None)
    }

    /// The date in a zone, see [`datetime_in`](Self::datetime_in).
    ///
    /// # Errors
    /// As [`date`](Self::date), and [`Error::Refused`] if the server does not know the zone, or zones at all.
    pub fn date_in(&mut self, zone: &str) -> Result<NaiveDate, Error> {
        self.date_of(Some(zone))
    }

    /// The time of day in the server's zone, in whole seconds.
    ///
    /// # Errors
    /// As [`request`](Self::request), and [`Error::Protocol`] if the reply is not a time.
    pub fn time(&mut self) -> Result<NaiveTime, Error> {
        self.time_of(None)
    }

    /// The time of day in a zone, see [`datetime_in`](Self::datetime_in).
    ///
    /// # Errors
    /// As [`time`](Self::time), and [`Error::Refused`] if the server does not know the zone, or zones at all.
    pub fn time_in(&mut self, zone: &str) -> Result<NaiveTime, Error> {
        self.time_of(Some(zone))
    }

    /// The date, the time and the offset of one moment in the server's zone.
    ///
    /// The original classroom program does not send its offset, and this client does not guess one. It asks such a
    /// server for the date, the time, and the date again until no midnight was between them, and returns both in
    /// [`Error::NoOffset`]:
    ///
    /// ```
    /// # use daytime::{Client, Error, chrono::NaiveDateTime};
    /// /// The date and the time on the server's clock, for both kinds of servers.
    /// fn local(client: &mut Client) -> Result<NaiveDateTime, Error> {
    ///     match client.datetime() {
    ///         Ok(datetime) => Ok(datetime.naive_local()),
    ///         Err(Error::NoOffset(local)) => Ok(local),
    ///         Err(error) => Err(error),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Self::request), [`Error::Protocol`] if a reply is not a time, and [`Error::NoOffset`].
    pub fn datetime(&mut self) -> Result<DateTime<FixedOffset>, Error> {
        self.datetime_of(None)
    }

    /// The date, the time and the offset of one moment in a zone: an IANA name in any letter case, `UTC`, or an offset
    /// such as `+05:30`.
    ///
    /// # Errors
    /// As [`datetime`](Self::datetime), and [`Error::Refused`] if the server does not know the zone, or zones at all.
    pub fn datetime_in(&mut self, zone: &str) -> Result<DateTime<FixedOffset>, Error> {
        self.datetime_of(Some(zone))
    }

    /// The seconds since the Unix epoch.
    ///
    /// # Errors
    /// As [`request`](Self::request), [`Error::Protocol`] if the reply is not a number, and [`Error::Refused`] by the
    /// original classroom program, which does not know the command.
    pub fn timestamp(&mut self) -> Result<i64, Error> {
        self.attempt(|client, deadline| client.typed("timestamp", None, parse_timestamp, deadline))
    }

    /// The POSIX TZ string of the server's zone, `CET-1CEST,M3.5.0,M10.5.0/3`, for tzset(3): of a device that has no
    /// time zone database. It is right for the two years after the server's time. If the rules of the zone do not fit
    /// into such a string, it has the present offset alone, `<+00>0`, until [`next_transition`](Self::next_transition).
    ///
    /// ```
    /// use daytime::{Client, Clock, Server};
    ///
    /// let clock = Clock::fixed_unix(1_795_362_297); // 2026-11-22
    /// let server = Server::builder().listen("127.0.0.1:0").timezone("+05:30").clock(clock).start()?;
    /// let mut client = Client::connect(&server.addresses()[0])?;
    /// assert_eq!(client.tz()?, "<+0530>-5:30"); // POSIX counts west of UTC
    /// assert_eq!(client.next_transition()?, None);
    /// # Ok::<(), daytime::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`request`](Self::request), [`Error::Protocol`] if the reply is not such a string, and [`Error::Refused`] by
    /// a server that does not know the command, as the original classroom program.
    pub fn tz(&mut self) -> Result<String, Error> {
        self.attempt(|client, deadline| client.typed("tz", None, parse_tz, deadline))
    }

    /// The POSIX TZ string of a zone, see [`tz`](Self::tz) and [`datetime_in`](Self::datetime_in).
    ///
    /// # Errors
    /// As [`tz`](Self::tz), and [`Error::Refused`] if the server does not know the zone.
    pub fn tz_in(&mut self, zone: &str) -> Result<String, Error> {
        self.attempt(|client, deadline| client.typed("tz", Some(zone), parse_tz, deadline))
    }

    /// The next change of the offset of the server's zone: its moment, at the offset that begins then. `None` if the offset
    /// does not change any more.
    ///
    /// # Errors
    /// As [`tz`](Self::tz).
    pub fn next_transition(&mut self) -> Result<Option<DateTime<FixedOffset>>, Error> {
        self.attempt(|client, deadline| client.typed("next", None, parse_next_transition, deadline))
    }

    /// The next change of the offset of a zone, see [`next_transition`](Self::next_transition) and
    /// [`datetime_in`](Self::datetime_in).
    ///
    /// # Errors
    /// As [`tz_in`](Self::tz_in).
    pub fn next_transition_in(&mut self, zone: &str) -> Result<Option<DateTime<FixedOffset>>, Error> {
        self.attempt(|client, deadline| client.typed("next", Some(zone), parse_next_transition, deadline))
    }

    /// Sends a command and returns the text of the reply, without its terminator.
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's error line. [`Error::Invalid`] if the command cannot be sent: it is blank,
    /// exceeds 1,024 bytes, has a control character, or is `quit`, for which there is [`quit`](Self::quit). Other errors
    /// break the client.
    pub fn request(&mut self, command: &str) -> Result<String, Error> {
        self.attempt(|client, deadline| client.exchange(command, deadline))
    }

    /// Sends many commands without waiting for each reply, at most 4 KiB of them ahead. Returns one result for each
    /// command, in order, as [`request`](Self::request) would. The original classroom program is asked one by one.
    ///
    /// ```
    /// # let server = daytime::Server::builder().listen("127.0.0.1:0").start()?;
    /// # let mut client = daytime::Client::connect(&server.addresses()[0])?;
    /// let replies = client.pipeline(["timestamp", "tea", "timestamp"])?;
    /// assert_eq!(replies.len(), 3);
    /// assert!(replies[0].is_ok() && replies[1].is_err());
    /// # Ok::<(), daytime::Error>(())
    /// ```
    ///
    /// # Errors
    /// An error that breaks the client. The replies so far are lost.
    pub fn pipeline<'a>(
        &mut self,
        commands: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        let mut commands = commands.into_iter().peekable();
        let mut results = Vec::new();
        // For each command in flight: the index of its result, and its size.
        let mut asked: VecDeque<(usize, usize)> = VecDeque::new();
        let mut in_flight = 0;
        self.attempt(|client, deadline| {
            loop {
                while let Some(command) = commands.peek() {
                    let room = client.session.frames_lines() && in_flight + command.len() < IN_FLIGHT;
                    if !asked.is_empty() && !room {
                        break;
                    }
                    match client.ask(command) {
                        Ok(()) => {
                            in_flight += command.len() + 1;
                            asked.push_back((results.len(), command.len() + 1));
                            results.push(Ok(String::new()));
                        }
                        Err(Error::Invalid(message)) => results.push(Err(Error::Invalid(message))),
                        Err(error) => return Err(error),
                    }
                    commands.next();
                }
                if asked.is_empty() {
                    return Ok(results);
                }
                client.send(deadline)?;
                let mut next = Some(client.next_reply(deadline)?);
                while let Some(reply) = next {
                    let Some((index, length)) = asked.pop_front() else { break };
                    results[index] = refuse_error_line(reply);
                    in_flight -= length;
                    next = client.session.reply()?;
                }
            }
        })
    }

    /// Sends `quit` and waits until the server has closed, so that every earlier command was executed.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Interrupted`], and [`Error::Closed`] if the client was broken before.
    pub fn quit(mut self) -> Result<(), Error> {
        self.attempt(|client, deadline| {
            client.session.ask("quit", &mut client.out)?;
            client.send(deadline)?;
            loop {
                match client.transport.read(deadline, None) {
                    Ok(_) => {}
                    Err(Error::Closed) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        })
    }

    fn day_of(&mut self, zone: Option<&str>) -> Result<Weekday, Error> {
        self.attempt(|client, deadline| match client.moment(zone, deadline)? {
            Some(moment) => Ok(moment.weekday()),
            None => client.typed("day", zone, parse_day, deadline),
        })
    }

    fn date_of(&mut self, zone: Option<&str>) -> Result<NaiveDate, Error> {
        self.attempt(|client, deadline| match client.moment(zone, deadline)? {
            Some(moment) => Ok(moment.date_naive()),
            None => client.typed("date", zone, parse_date, deadline),
        })
    }

    fn time_of(&mut self, zone: Option<&str>) -> Result<NaiveTime, Error> {
        self.attempt(|client, deadline| match client.moment(zone, deadline)? {
            Some(moment) => Ok(moment.time()),
            None => client.typed("time", zone, parse_time, deadline),
        })
    }

    fn datetime_of(&mut self, zone: Option<&str>) -> Result<DateTime<FixedOffset>, Error> {
        self.attempt(|client, deadline| {
            if let Some(moment) = client.moment(zone, deadline)? {
                return Ok(moment);
            }
            let mut date = client.typed("date", zone, parse_date, deadline)?;
            loop {
                let time = client.typed("time", zone, parse_time, deadline)?;
                let date_after = client.typed("date", zone, parse_date, deadline)?;
                if date == date_after {
                    return Err(Error::NoOffset(date.and_time(time)));
                }
                date = date_after;
            }
        })
    }

    /// The reply to `datetime`, whose format does not depend on a setting. `None` if the server does not know it.
    fn moment(&mut self, zone: Option<&str>, deadline: &Deadline<'_>) -> Result<Option<DateTime<FixedOffset>>, Error> {
        if self.lacks_datetime || !self.session.frames_lines() {
            return Ok(None);
        }
        match self.typed("datetime", zone, parse_datetime, deadline) {
            Ok(moment) => Ok(Some(moment)),
            Err(Error::Refused(line)) if line == errors::INVALID => {
                self.lacks_datetime = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn typed<T>(
        &mut self,
        command: &str,
        zone: Option<&str>,
        parse: fn(&str) -> Option<T>,
        deadline: &Deadline<'_>,
    ) -> Result<T, Error> {
        let reply = match zone {
            None => self.exchange(command, deadline)?,
            Some(zone) => self.exchange(&format!("{command} {zone}"), deadline)?,
        };
        parse(&reply).ok_or_else(|| Error::Protocol(reply.into()))
    }

    fn exchange(&mut self, command: &str, deadline: &Deadline<'_>) -> Result<String, Error> {
        self.ask(command)?;
        self.send(deadline)?;
        refuse_error_line(self.next_reply(deadline)?)
    }

    /// Sends the hello and reads the greeting.
    fn greet(&mut self) -> Result<(), Error> {
        self.out.extend_from_slice(ClientSession::HELLO);
        self.attempt(|client, deadline| {
            client.send(deadline)?;
            let mut last = Instant::now();
            while client.session.greeting().is_none() {
                let quiet = client.session.needs_timeout().then(|| last + QUIET);
                match client.transport.read(deadline, quiet) {
                    Ok(0) => client.session.handle_timeout()?,
                    Ok(n) => {
                        last = Instant::now();
                        client.session.receive(&client.transport.input[..n])?;
                    }
                    Err(Error::Closed) => return Err(client.session.handle_eof().into()),
                    // The bytes received so far say more than a timeout.
                    Err(Error::Timeout) => match client.session.take_unexpected() {
                        SessionError::Protocol(bytes) if !bytes.is_empty() => return Err(Error::Protocol(bytes)),
                        _ => return Err(Error::Timeout),
                    },
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    /// Runs one call with its deadline, and breaks the client if the session is out of step.
    fn attempt<T>(&mut self, call: impl FnOnce(&mut Self, &Deadline<'_>) -> Result<T, Error>) -> Result<T, Error> {
        if self.broken {
            return Err(Error::Closed);
        }
        let interrupt = self.interrupt.take();
        let result = call(self, &Deadline::new(self.timeout, interrupt.as_ref()));
        self.interrupt = interrupt;
        self.out.clear();
        if !matches!(result, Ok(_) | Err(Error::Invalid(_) | Error::Refused(_) | Error::NoOffset(_))) {
            self.broken = true;
            // The server need not wait until this client is dropped.
            let _ = self.transport.stream.shutdown(std::net::Shutdown::Both);
        }
        result
    }

    fn ask(&mut self, command: &str) -> Result<(), Error> {
        check_has_reply(command)?;
        if self.out.is_empty() && !self.session.awaits_replies() {
            self.transport.check_silence(&mut self.session)?;
        }
        Ok(self.session.ask(command, &mut self.out)?)
    }

    fn send(&mut self, deadline: &Deadline<'_>) -> Result<(), Error> {
        self.transport.write(&self.out, deadline)?;
        self.out.clear();
        Ok(())
    }

    fn next_reply(&mut self, deadline: &Deadline<'_>) -> Result<String, Error> {
        loop {
            if let Some(reply) = self.session.reply()? {
                return Ok(reply);
            }
            let n = self.transport.read(deadline, None)?;
            self.session.receive(&self.transport.input[..n])?;
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("stream", &self.transport.stream)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::InvalidCommand(message) => Error::Invalid(message),
            SessionError::Protocol(bytes) => Error::Protocol(bytes),
            SessionError::Refused(line) => Error::Refused(line),
            SessionError::Closed => Error::Closed,
        }
    }
}

/// An error line becomes [`Error::Refused`].
fn refuse_error_line(reply: String) -> Result<String, Error> {
    match errors::reason(&reply) {
        Some(reason) => Err(Error::Refused(reason.to_owned())),
        None => Ok(reply),
    }
}

/// Rejects the commands that end the session.
pub(crate) fn check_has_reply(command: &str) -> Result<(), Error> {
    let name = command.trim_matches([' ', '\t']);
    if name.eq_ignore_ascii_case("quit") || name.eq_ignore_ascii_case("exit") {
        return Err(Error::Invalid(format!("the command {name:?} does not have a reply; close the client instead")));
    }
    Ok(())
}
