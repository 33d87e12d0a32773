//! The event loop of the load, and the meter that counts requests while the window is open.

use std::{
    io::ErrorKind,
    mem,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

use crate::{
    Result,
    contenders::{Running, TIMEOUT},
};

/// The durations of the warm-up and of the measurement after it.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
}

/// The numbers of one window.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// Requests a second, or connections a second if each has one request.
    pub(crate) rate: f64,
    /// The server's processor time for each request, in microseconds.
    pub(crate) cost: f64,
    /// From the first byte of a batch to the last byte of its replies, in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// The poller of all clients, and the meter that counts their requests.
pub(crate) struct Load<'a> {
    pub(crate) poll: Poll,
    meter: Meter<'a>,
}

impl<'a> Load<'a> {
    pub(crate) fn new(server: &'a Running, window: Window) -> Result<Self> {
        let latencies = Histogram::new_with_bounds(10, 60_000_000_000, 3)?;
        let meter = Meter { server, window, since: None, cost: 0, count: 0, latencies, measured: None };
        Ok(Load { poll: Poll::new()?, meter })
    }

    /// Calls `step` for each client that can read or write, until `step` has returned true for every client.
    ///
    /// `step` returns true only after the window is over. So a client that never gets its reply is an error.
    pub(crate) fn run(
        mut self,
        clients: usize,
        mut step: impl FnMut(usize, &mut Meter, &mut [u8]) -> Result<bool>,
    ) -> Result<Measured> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 * 1024];
        let (mut done, mut unfinished) = (vec![false; clients], clients);
        let began = Instant::now();
        let Window { warm_up, length } = self.meter.window;
        while unfinished > 0 {
            match self.poll.poll(&mut events, Some(TIMEOUT)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            let now = Instant::now();
            if events.is_empty() || now - began > warm_up + length + TIMEOUT {
                return Err(format!("the server has stalled: {unfinished} clients wait for a reply").into());
            }
            self.meter.advance(began, now)?;
            for event in &events {
                let Token(client) = event.token();
                if step(client, &mut self.meter, &mut buffer)? && !mem::replace(&mut done[client], true) {
                    unfinished -= 1;
                }
            }
        }
        self.meter.measured.ok_or_else(|| "the window was not measured".into())
    }
}

pub(crate) struct Meter<'a> {
    server: &'a Running,
    window: Window,
    /// The end of the warm-up, and the processor time until then.
    since: Option<Instant>,
    cost: u64,
    count: usize,
    latencies: Histogram<u32>,
    /// The result, once the window is over.
    pub(crate) measured: Option<Measured>,
}

impl Meter<'_> {
    /// Counts requests of one client, and the time from their batch to its replies.
    pub(crate) fn count(&mut self, requests: usize, latency: Duration) {
        self.count += requests;
        self.latencies.saturating_record(latency.as_nanos() as u64);
    }

    /// Opens and closes the window when its time has come.
    fn advance(&mut self, began: Instant, now: Instant) -> Result<()> {
        match self.since {
            _ if self.measured.is_some() => {}
            None if now - began >= self.window.warm_up => {
                (self.since, self.cost, self.count) = (Some(now), self.server.processor_time()?, 0);
                self.latencies.reset();
            }
            Some(since) if now - since >= self.window.length => {
                let cost = self.server.processor_time()?.saturating_sub(self.cost);
                let quantile = |q| self.latencies.value_at_quantile(q) as f64 / 1e3;
                self.measured = Some(Measured {
                    rate: self.count as f64 / (now - since).as_secs_f64(),
                    cost: cost as f64 / 1e3 / self.count.max(1) as f64,
                    p50: quantile(0.5),
                    p99: quantile(0.99),
                    p999: quantile(0.999),
                    max: quantile(1.0),
                });
            }
            _ => {}
        }
        Ok(())
    }
}
