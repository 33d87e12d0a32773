//! Helpers of the client's tests.

use std::time::Duration;

use daytime::{Client, ClientBuilder, Error, Framing, Server};

use crate::common::{TIMEOUT, fake_server::FakeServer, outcome, peer::Peer, timed};

pub(crate) const FRAMINGS: [Framing; 2] = [Framing::Auto, Framing::Line];

/// The time after its deadline within which a call must return, on a busy machine too.
pub(crate) const SLACK: Duration = Duration::from_secs(2);

pub(crate) fn client_builder() -> ClientBuilder {
    Client::builder().timeout(TIMEOUT)
}

pub(crate) fn with_timeout(milliseconds: u64) -> ClientBuilder {
    Client::builder().timeout(Duration::from_millis(milliseconds))
}

pub(crate) fn connect(server: &Server) -> Client {
    client_builder().connect(&server.addresses()[0]).unwrap()
}

pub(crate) fn error_of<T>(result: Result<T, Error>) -> String {
    outcome(result.map(|_| "no error".to_owned()))
}

/// Asserts that every call of a broken client fails at once.
#[track_caller]
pub(crate) fn assert_broken(mut client: Client) {
    let (outcomes, took) = timed(|| {
        [
            error_of(client.request("day")),
            error_of(client.datetime()),
            error_of(client.pipeline(["day", "date"])),
            error_of(client.quit()),
        ]
    });
    assert_eq!(outcomes, ["closed"; 4]);
    assert!(took < SLACK, "{took:?}");
}

/// Requests `day` from a server that plays this script after the request. Returns the outcome, the server and the
/// client.
pub(crate) fn ask_day(milliseconds: u64, script: impl FnOnce(Peer) + Send + 'static) -> (String, FakeServer, Client) {
    let fake = FakeServer::new(|mut peer| {
        peer.complete_greeting("Hi");
        peer.expect("day\n");
        script(peer);
    });
    let mut client = with_timeout(milliseconds).connect(fake.address()).unwrap();
    let result = outcome(client.request("day"));
    (result, fake, client)
}
