//! The expected output of a server, from the protocol core alone.

use std::collections::HashMap;

use daytime::protocol::{Commands, Formats, FormattedTime, Framing, GREETING, Next, Respond, ServerSession, Zone};

use crate::common::MOMENT;

/// The output of a server at [`MOMENT`] for a client that sends `input` and then closes its side.
pub(crate) fn model(framing: Framing, input: &[u8]) -> Vec<u8> {
    #[derive(Default)]
    struct StoppedClock(Commands, HashMap<String, Option<FormattedTime>>);
    impl Respond for StoppedClock {
        fn commands(&self) -> &Commands {
            &self.0
        }
        fn formatted_time(&mut self, zone: Option<&str>) -> Option<&FormattedTime> {
            let make =
                |name: &str| Zone::parse(name).map(|zone| FormattedTime::new(MOMENT, &zone, &Formats::default()));
            let name = zone.unwrap_or("UTC");
            self.1.entry(name.to_owned()).or_insert_with(|| make(name)).as_ref()
        }
    }
    let (mut responder, mut session) = (StoppedClock::default(), ServerSession::new(framing));
    let (mut sent, mut out) = (Vec::new(), Vec::new());
    session.greet(GREETING, &mut out);
    let (mut at, mut next) = (0, Next::Read);
    while at < input.len() && next != Next::Close {
        let received = session.receive(&input[at..], &mut responder, &mut out);
        (at, next) = (at + received.taken, received.next);
        sent.append(&mut out);
    }
    let _ = session.handle_eof(&mut responder, &mut out).next;
    sent.append(&mut out);
    sent
}
