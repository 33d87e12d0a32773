//! A blocking client, every call of which ends by its deadline.
//!
//! What is said is the [`Dialogue`]'s business; here is who asks and when a client is broken. `wire.rs` has the socket and
//! the patience, `connect.rs` the way from a name to a socket. A socket call waits 100 ms at most before the deadline and
//! the interrupt function are looked at again.

mod connect;
mod rfc;
mod wire;

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use socket2::SockRef;

use crate::{
    Address, DEFAULT_PORT, Date, DateTime, Error, Time, Weekday,
    protocol::{Dialogue, Fault, QUIET, errors},
};
use connect::{connect_any, resolve};
pub use rfc::{rfc867, rfc868};
use wire::{Interrupt, Patience, Wire};

/// The bytes of questions that a pipeline keeps in flight. The server reads nothing while replies are owed, so that a
/// client that only wrote would wait for ever; this much fits into any socket's buffers.
const IN_FLIGHT: usize = 4096;

/// How to connect: how long to be patient, and when to give up earlier.
#[must_use = "nothing is connected before `connect`"]
pub struct ClientBuilder {
    timeout: Duration,
    interrupt: Option<Interrupt>,
}

impl ClientBuilder {
    /// How long each call may take, connecting among them, from the name's resolution to the greeting. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// A function that is asked every 100 ms while a call blocks; true ends that with [`Error::Interrupted`].
    pub fn interrupt(mut self, interrupt: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.interrupt = Some(Box::new(interrupt));
        self
    }

    /// Connects, to the first of the address's IP addresses that answers, and reads the greeting.
    ///
    /// # Errors
    /// [`Error::Io`] where no address can be connected to, [`Error::Timeout`], [`Error::Interrupted`];
    /// [`Error::Refused`] with the server's words; [`Error::Protocol`] with what was sent where that is no greeting.
    pub fn connect(self, address: impl Into<Address>) -> Result<Client, Error> {
        let patience = Patience::new(self.timeout, self.interrupt.as_ref());
        let stream = connect_any(&resolve(address.into(), DEFAULT_PORT, &patience)?, &patience)?;
        let mut client = Client {
            wire: Wire::new(stream),
            dialogue: Dialogue::new(),
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

/// One conversation with a server: this crate's, which frames lines, or the original's, which does not. Which of them
/// it is was found out when connecting.
///
/// An error other than [`Error::Invalid`] and [`Error::Refused`] breaks a client: what comes later might be the answer to
/// an earlier question. Every call gives [`Error::Closed`] from then on.
pub struct Client {
    wire: Wire,
    dialogue: Dialogue,
    /// What is to be sent; empty between calls.
    out: Vec<u8>,
    timeout: Duration,
    interrupt: Option<Interrupt>,
    broken: bool,
    /// The server has said that it does not know `datetime`.
    lacks_datetime: bool,
}

impl Client {
    /// Connects with all defaults, see [`ClientBuilder::connect`].
    ///
    /// # Errors
    /// Those of [`ClientBuilder::connect`].
    pub fn connect(address: impl Into<Address>) -> Result<Client, Error> {
        Self::builder().connect(address)
    }

    /// How to connect, all at the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder { timeout: Duration::from_secs(5), interrupt: None }
    }

    /// How long each call may take from now on, see [`ClientBuilder::timeout`].
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// What the server said first.
    pub fn greeting(&self) -> &str {
        self.dialogue.greeting().unwrap_or_default()
    }

    /// The address that this client is connected to.
    ///
    /// # Errors
    /// [`Error::Io`] once the connection is broken.
    pub fn peer(&self) -> Result<Address, Error> {
        let peer = SockRef::from(&self.wire.stream).peer_addr().map_err(Error::io("read the peer's address"))?;
        Ok(peer.as_socket().map_or_else(|| Address::of_unix(&peer), Address::from))
    }

    /// The day of the week in the server's zone.
    ///
    /// # Errors
    /// As [`request`](Self::request), and [`Error::Protocol`] where the reply is no such thing.
    pub fn day(&mut self) -> Result<Weekday, Error> {
        self.day_of(None)
    }

    /// The day of the week in a zone, see [`datetime_in`](Self::datetime_in).
    ///
    /// # Errors
    /// As [`datetime_in`](Self::datetime_in).
    pub fn day_in(&mut self, zone: &str) -> Result<Weekday, Error> {
        self.day_of(Some(zone))
    }

    /// The date in the server's zone.
    ///
    /// # Errors
    /// As [`day`](Self::day).
    pub fn date(&mut self) -> Result<Date, Error> {
        self.date_of(None)
    }

    /// The date in a zone, see [`datetime_in`](Self::datetime_in).
    ///
    /// # Errors
    /// As [`datetime_in`](Self::datetime_in).
    pub fn date_in(&mut self, zone: &str) -> Result<Date, Error> {
        self.date_of(Some(zone))
    }

    /// The time of day in the server's zone.
    ///
    /// # Errors
    /// As [`day`](Self::day).
    pub fn time(&mut self) -> Result<Time, Error> {
        self.time_of(None)
    }

    /// The time of day in a zone, see [`datetime_in`](Self::datetime_in).
    ///
    /// # Errors
    /// As [`datetime_in`](Self::datetime_in).
    pub fn time_in(&mut self, zone: &str) -> Result<Time, Error> {
        self.time_of(Some(zone))
    }

    /// The date and the time of one moment in the server's zone. The original server is asked for the one, the other,
    /// and the one again, until no midnight was between.
    ///
    /// # Errors
    /// As [`day`](Self::day).
    pub fn datetime(&mut self) -> Result<DateTime, Error> {
        self.datetime_of(None)
    }

    /// The date and the time of one moment in a zone: an IANA name in any letter case, `UTC`, or an offset such as
    /// `+05:30`.
    ///
    /// # Errors
    /// As [`day`](Self::day), and [`Error::Refused`] where the server does not know the zone, or no zones at all.
    pub fn datetime_in(&mut self, zone: &str) -> Result<DateTime, Error> {
        self.datetime_of(Some(zone))
    }

    /// Sends a command and gives the reply's text, without its terminator.
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's error line; [`Error::Invalid`] where the command cannot be sent: it is
    /// blank, over 1,024 bytes, has a control character, or is `quit`, which [`quit`](Self::quit) says. Any other error
    /// breaks the client.
    pub fn request(&mut self, command: &str) -> Result<String, Error> {
        self.attempt(|client, patience| client.exchange(command, patience))
    }

    /// Sends many commands without waiting for each reply, at most 4 KiB of them ahead, and gives a result for each in
    /// order, as [`request`](Self::request) would. The original server is asked one by one.
    ///
    /// # Errors
    /// What breaks the client; the replies so far are lost with it.
    pub fn pipeline<'a>(
        &mut self,
        commands: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        let mut commands = commands.into_iter().peekable();
        let mut results = Vec::new();
        // Which result each question's reply becomes, and the question's length.
        let mut asked: VecDeque<(usize, usize)> = VecDeque::new();
        let mut in_flight = 0;
        self.attempt(|client, patience| {
            loop {
                while let Some(command) = commands.peek() {
                    let room = client.dialogue.frames_lines() && in_flight + command.len() < IN_FLIGHT;
                    if !asked.is_empty() && !room {
                        break;
                    }
                    match client.ask(command) {
                        Ok(()) => {
                            in_flight += command.len() + 1;
                            asked.push_back((results.len(), command.len() + 1));
                            results.push(Ok(String::new()));
                        }
                        Err(Error::Invalid(why)) => results.push(Err(Error::Invalid(why))),
                        Err(error) => return Err(error),
                    }
                    commands.next();
                }
                if asked.is_empty() {
                    return Ok(results);
                }
                client.send(patience)?;
                let mut next = Some(client.next_reply(patience)?);
                while let Some(reply) = next {
                    let Some((index, length)) = asked.pop_front() else { break };
                    results[index] = accept(reply);
                    in_flight -= length;
                    next = client.dialogue.reply()?;
                }
            }
        })
    }

    /// Says `quit` and waits until the server has closed, so that everything said before has been done.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Interrupted`], and [`Error::Closed`] of a client that was broken before.
    pub fn quit(mut self) -> Result<(), Error> {
        self.attempt(|client, patience| {
            client.dialogue.ask("quit", &mut client.out)?;
            client.send(patience)?;
            loop {
                match client.wire.read(patience, None) {
                    Ok(_) => {}
                    Err(Error::Closed) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        })
    }

    fn day_of(&mut self, zone: Option<&str>) -> Result<Weekday, Error> {
        self.attempt(|client, patience| match client.moment(zone, patience)? {
            Some(moment) => moment.date.weekday().ok_or_else(|| Error::Protocol(moment.date.to_string().into())),
            None => client.typed("day", zone, Weekday::parse, patience),
        })
    }

    fn date_of(&mut self, zone: Option<&str>) -> Result<Date, Error> {
        self.attempt(|client, patience| match client.moment(zone, patience)? {
            Some(moment) => Ok(moment.date),
            None => client.typed("date", zone, Date::parse, patience),
        })
    }

    fn time_of(&mut self, zone: Option<&str>) -> Result<Time, Error> {
        self.attempt(|client, patience| match client.moment(zone, patience)? {
            Some(moment) => Ok(moment.time),
            None => client.typed("time", zone, Time::parse, patience),
        })
    }

    fn datetime_of(&mut self, zone: Option<&str>) -> Result<DateTime, Error> {
        self.attempt(|client, patience| {
            if let Some(moment) = client.moment(zone, patience)? {
                return Ok(moment);
            }
            let mut date = client.typed("date", zone, Date::parse, patience)?;
            loop {
                let time = client.typed("time", zone, Time::parse, patience)?;
                let date_after = client.typed("date", zone, Date::parse, patience)?;
                if date == date_after {
                    return Ok(DateTime { date, time, offset: None });
                }
                date = date_after;
            }
        })
    }

    /// The reply to `datetime`, whose format no setting changes; `None` where the server does not know it.
    fn moment(&mut self, zone: Option<&str>, patience: &Patience<'_>) -> Result<Option<DateTime>, Error> {
        if self.lacks_datetime || !self.dialogue.frames_lines() {
            return Ok(None);
        }
        match self.typed("datetime", zone, DateTime::parse, patience) {
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
        patience: &Patience<'_>,
    ) -> Result<T, Error> {
        let reply = match zone {
            None => self.exchange(command, patience)?,
            Some(zone) => self.exchange(&format!("{command} {zone}"), patience)?,
        };
        parse(&reply).ok_or_else(|| Error::Protocol(reply.into()))
    }

    fn exchange(&mut self, command: &str, patience: &Patience<'_>) -> Result<String, Error> {
        self.ask(command)?;
        self.send(patience)?;
        accept(self.next_reply(patience)?)
    }

    /// Says hello and reads the greeting.
    fn greet(&mut self) -> Result<(), Error> {
        self.out.extend_from_slice(Dialogue::HELLO);
        self.attempt(|client, patience| {
            client.send(patience)?;
            let mut last = Instant::now();
            while client.dialogue.greeting().is_none() {
                let quiet = client.dialogue.awaits_quiet().then(|| last + QUIET);
                match client.wire.read(patience, quiet) {
                    Ok(0) => client.dialogue.quiet()?,
                    Ok(n) => {
                        last = Instant::now();
                        client.dialogue.receive(&client.wire.input[..n])?;
                    }
                    Err(Error::Closed) => return Err(client.dialogue.end().into()),
                    // What came so far tells more than that it was too little.
                    Err(Error::Timeout) => match client.dialogue.foreign() {
                        Fault::Protocol(bytes) if !bytes.is_empty() => return Err(Error::Protocol(bytes)),
                        _ => return Err(Error::Timeout),
                    },
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    /// Runs one call with a deadline of its own, and breaks the client where the conversation is out of step.
    fn attempt<T>(&mut self, call: impl FnOnce(&mut Self, &Patience<'_>) -> Result<T, Error>) -> Result<T, Error> {
        if self.broken {
            return Err(Error::Closed);
        }
        let interrupt = self.interrupt.take();
        let result = call(self, &Patience::new(self.timeout, interrupt.as_ref()));
        self.interrupt = interrupt;
        self.out.clear();
        if !matches!(result, Ok(_) | Err(Error::Invalid(_) | Error::Refused(_))) {
            self.broken = true;
            // The server need not wait for it to be dropped.
            let _ = self.wire.stream.shutdown(std::net::Shutdown::Both);
        }
        result
    }

    fn ask(&mut self, command: &str) -> Result<(), Error> {
        let name = command.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("quit") || name.eq_ignore_ascii_case("exit") {
            return Err(Error::Invalid(format!("the command {name:?} has no reply: Client::quit says it")));
        }
        if self.out.is_empty() && !self.dialogue.awaits_replies() {
            self.wire.check_silence(&mut self.dialogue)?;
        }
        Ok(self.dialogue.ask(command, &mut self.out)?)
    }

    fn send(&mut self, patience: &Patience<'_>) -> Result<(), Error> {
        self.wire.write(&self.out, patience)?;
        self.out.clear();
        Ok(())
    }

    fn next_reply(&mut self, patience: &Patience<'_>) -> Result<String, Error> {
        loop {
            if let Some(reply) = self.dialogue.reply()? {
                return Ok(reply);
            }
            let n = self.wire.read(patience, None)?;
            self.dialogue.receive(&self.wire.input[..n])?;
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("stream", &self.wire.stream)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Question(why) => Error::Invalid(why),
            Fault::Protocol(bytes) => Error::Protocol(bytes),
            Fault::Refused(line) => Error::Refused(line),
            Fault::Closed => Error::Closed,
        }
    }
}

fn accept(reply: String) -> Result<String, Error> {
    if errors::ALL.contains(&reply.as_str()) { Err(Error::Refused(reply)) } else { Ok(reply) }
}
