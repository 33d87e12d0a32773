//! RFC 867 and RFC 868 over UDP: each question gets one datagram, without a connection, a client or an event.
//!
//! Anyone can forge the source of a datagram. So three rules hold, of which the first is a guarantee:
//!
//! - A question has at most [`QUESTION_MAX`] bytes, and every answer has more. An answer of this server, or of any other
//!   server of these protocols, is never a question: two servers cannot answer each other.
//! - A question from a port below 1,024 belongs to a service, and is not answered. Nor is one that was sent to many hosts.
//! - [`Budget`] limits the answers for each source and in all. So the owner of a forged address gets few of them.
//!
//! A question that is not answered is dropped silently, and counted. Memory does not depend on the number of sources.

mod budget;

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::size_of,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    sync::atomic::Ordering::Relaxed,
};

use mio::net::UdpSocket;
use nix::{
    libc::{MSG_DONTWAIT, MSG_NOSIGNAL, cmsghdr, in_pktinfo, in6_pktinfo},
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg},
};
use socket2::{MsgHdr, SockRef};

use super::{
    events::ClientId,
    listen::{DatagramSocket, Service},
    shared::Shared,
    stats::{DatagramResult, add},
    tick::Tick,
    time_cache::TimeCache,
};
use crate::protocol::{Zone, rfc867, rfc868};
pub(super) use budget::Budget;

/// The most bytes of a question. RFC 867 and RFC 868 ignore its content, and clients send nothing or a line end.
const QUESTION_MAX: usize = 3;
/// The most questions read from one socket before other sockets are served.
const BATCH: usize = 64;

pub(super) struct Datagrams {
    sockets: Vec<Watched>,
    budget: Budget,
    answers: Answers,
    control: Control,
}

struct Watched {
    socket: UdpSocket,
    service: Service,
    /// A datagram may wait. The poller reports each edge once, so this stays true until a read finds none.
    ready: bool,
}

/// The control messages that say to which address a question was sent: one, or for IPv4 over a socket of IPv6 both. The
/// system takes the first one back with the answer, which then comes from that address.
const CONTROL_MAX: usize = 2 * (size_of::<cmsghdr>() + size_of::<in6_pktinfo>() + size_of::<usize>());

/// A buffer for them, aligned as their headers are.
#[repr(align(8))]
struct Control([u8; CONTROL_MAX]);

/// The answers of one second.
#[derive(Default)]
struct Answers {
    made_for: Option<(i64, u64)>,
    rfc867: String,
    rfc868: [u8; 4],
}

impl Answers {
    /// Formats the answers, unless that was done for this second and these files of the zones.
    fn update(&mut self, second: i64, zone: &Zone, reloads: u64) {
        if self.made_for != Some((second, reloads)) {
            *self = Answers { made_for: Some((second, reloads)), rfc867: rfc867(second, zone), rfc868: rfc868(second) };
        }
    }

    fn of(&self, service: Service) -> &[u8] {
        match service {
            Service::Rfc868Udp => &self.rfc868,
            _ => self.rfc867.as_bytes(),
        }
    }
}

impl Datagrams {
    pub(super) fn new(sockets: Vec<DatagramSocket>, budget: Budget) -> Self {
        let watched = |DatagramSocket { socket, service }| Watched { socket, service, ready: true };
        let sockets = sockets.into_iter().map(watched).collect();
        Datagrams { sockets, budget, answers: Answers::default(), control: Control([0; CONTROL_MAX]) }
    }

    pub(super) fn ready(&mut self, socket: usize) {
        if let Some(watched) = self.sockets.get_mut(socket) {
            watched.ready = true;
        }
    }

    /// Whether to call [`serve`](Self::serve), even if the poller reports no socket.
    pub(super) fn is_ready(&self) -> bool {
        self.sockets.iter().any(|watched| watched.ready)
    }

    /// Answers a batch of questions from each socket.
    pub(super) fn serve(&mut self, now: Tick, time_cache: &mut TimeCache, shared: &Shared) {
        let Datagrams { sockets, budget, answers, control } = self;
        for Watched { socket, service, ready } in sockets.iter_mut().filter(|watched| watched.ready) {
            for _ in 0..BATCH {
                let result = match receive(socket, control, budget, now, shared) {
                    Ok(Ok(question)) => {
                        // After the question has come: once the clock was set, each later answer shows the new time.
                        let mut read = time_cache.begin(ClientId::default(), now);
                        let (second, zone) = time_cache.now(&mut read);
                        answers.update(second, zone, shared.zone_reloads.load(Relaxed));
                        reply(socket, question, answers.of(*service), control)
                    }
                    Ok(Err(dropped)) => dropped,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        *ready = false;
                        break;
                    }
                    // It belongs to an earlier answer, such as one that a firewall has rejected.
                    Err(_) => DatagramResult::Failed,
                };
                add(shared.datagrams.counter(*service, result), 1);
            }
        }
    }
}

/// A question that gets an answer.
struct Question {
    source: SocketAddr,
    destination: Destination,
}

/// Reads one datagram: a question, or why it is dropped.
fn receive(
    socket: &UdpSocket,
    Control(control): &mut Control,
    budget: &mut Budget,
    now: Tick,
    shared: &Shared,
) -> io::Result<Result<Question, DatagramResult>> {
    // One byte more than a question, so that a longer datagram is seen to be one.
    let mut question = [0; QUESTION_MAX + 1];
    let mut buffers = [IoSliceMut::new(&mut question)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut buffers, Some(control), flags)?;
    let is_long = message.bytes > QUESTION_MAX;
    let source = message.address.as_ref().and_then(socket_addr);
    let both = |first: Destination, second: Destination| Destination {
        is_shared: first.is_shared || second.is_shared,
        ..first
    };
    let destination = message.cmsgs()?.filter_map(Destination::of).reduce(both);
    let (Some(source), Some(destination)) = (source, destination) else { return Ok(Err(DatagramResult::Port)) };
    Ok(if is_long {
        Err(DatagramResult::Long)
    } else if source.port() < 1024 || !is_unicast(source.ip()) || destination.is_shared {
        Err(DatagramResult::Port)
    } else if shared.admission.check_network(&source.into()).is_err() {
        Err(DatagramResult::Denied)
    } else if !budget.take(source.ip().into(), now) {
        Err(DatagramResult::Limited)
    } else {
        Ok(Question { source, destination })
    })
}

/// Sends an answer. A full buffer of the system loses it, as the net may. The client asks again.
fn reply(socket: &UdpSocket, question: Question, answer: &[u8], Control(control): &mut Control) -> DatagramResult {
    let (source, answer) = (question.source.into(), [IoSlice::new(answer)]);
    let message =
        MsgHdr::new().with_addr(&source).with_buffers(&answer).with_control(question.destination.echo(control));
    match SockRef::from(socket).sendmsg(&message, MSG_DONTWAIT | MSG_NOSIGNAL) {
        Ok(_) => DatagramResult::Answered,
        Err(_) => DatagramResult::Failed,
    }
}

/// Where a question was sent.
struct Destination {
    /// To a broadcast or multicast address.
    is_shared: bool,
    /// The size of the control message that said so.
    size: usize,
    is_v4: bool,
}

impl Destination {
    fn of(control: ControlMessageOwned) -> Option<Self> {
        match control {
            // The system reports its own address beside that of the datagram, which differs if many hosts got it.
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Destination {
                is_shared: info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr,
                size: size_of::<in_pktinfo>(),
                is_v4: true,
            }),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(Destination {
                is_shared: !is_unicast(IpAddr::from(info.ipi6_addr.s6_addr).to_canonical()),
                size: size_of::<in6_pktinfo>(),
                is_v4: false,
            }),
            _ => None,
        }
    }

    /// The control message for the answer. The route decides about the interface for IPv4; for IPv6, whose addresses can
    /// be those of a link, it is the one on which the question came.
    fn echo(self, control: &mut [u8; CONTROL_MAX]) -> &[u8] {
        const HEADER: usize = size_of::<cmsghdr>();
        if self.is_v4 {
            control[HEADER..HEADER + size_of::<u32>()].fill(0);
        }
        let align = |size: usize| size.next_multiple_of(align_of::<cmsghdr>());
        &control[..HEADER + align(self.size)]
    }
}

/// An address that belongs to one host. Loopback does.
fn is_unicast(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
    }
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}
