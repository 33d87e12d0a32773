//! Starts the threads of a bound server.

use std::{
    os::fd::AsRawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::AtomicBool},
};

use crossbeam_channel::unbounded;
use mio::{Poll, Token, Waker};

use super::{
    Server,
    acceptor::Acceptor,
    admission::Admission,
    callers::Callers,
    config::Setup,
    control::{Control, Post, mark_as_own},
    event::Events,
    handle::Handle,
    listen::{Addresses, Listener},
    mailbox::Door,
    worker::{LISTENERS, MAIL, Worker},
};
use crate::{
    Error,
    clock::{Clock, SettableClock},
    thread,
    waiting::channel,
};

/// What a server is made of before its threads begin.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) listeners: Vec<Listener>,
    pub(super) addresses: Addresses,
    pub(super) workers: usize,
    pub(super) callers: usize,
    pub(super) clock: Clock,
    pub(super) events: Events,
    pub(super) admission: Admission,
    pub(super) setup: Setup,
}

pub(super) fn launch(parts: Parts) -> Result<Server, Error> {
    let Parts { mut listeners, addresses, workers, callers, clock, events, admission, setup } = parts;
    let failed = Error::io("make a poller");
    let polls = (0..workers).map(|_| Poll::new()).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut doors = Vec::new();
    let mut mailboxes = Vec::new();
    let watched = (|| {
        for (i, listener) in listeners.iter_mut().enumerate() {
            listener.register(polls[0].registry(), Token(LISTENERS + i))?;
        }
        for poll in &polls {
            let (sender, mailbox) = unbounded();
            doors.push(Door::new(sender, Waker::new(poll.registry(), MAIL)?));
            mailboxes.push(mailbox);
        }
        Ok(())
    })();
    watched.map_err(Error::io("watch the listeners"))?;
    let descriptors = listeners.iter().map(AsRawFd::as_raw_fd).collect();
    let control = Arc::new(Control::new(doors, SettableClock::new(clock), events, admission, descriptors));
    let (alive, done) = channel(0);
    let server = Server {
        handle: Handle { control: control.clone() },
        addresses,
        warnings: setup.zones.warnings(),
        done,
        abandoned: AtomicBool::new(false),
    };
    let setup = Arc::new(setup);
    let callers = Arc::new(Callers::new(control.clone(), setup.clone(), callers, alive.clone()));
    // Each worker has a share of this; the last one to end lets the callers go.
    let crew = Arc::new(Crew(callers.clone()));
    // Until all have begun, none can be the last to end.
    let starting = Post::new(control.clone(), alive.clone());
    let mut acceptor = Some(Acceptor::new(listeners));
    let started = polls.into_iter().zip(mailboxes).enumerate().try_for_each(|(index, (poll, mailbox))| {
        let setup = setup.clone();
        let worker = Worker::new(index, control.clone(), setup, callers.clone(), poll, mailbox, acceptor.take());
        let post = Post::new(control.clone(), alive.clone());
        let crew = crew.clone();
        let thread = thread::spawn(format!("daytime-{index}"), move || {
            mark_as_own(&post.control);
            // A panic is a bug of this crate: no half of a server is left running.
            if catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
                post.control.stop();
            }
            drop(crew);
            drop(post);
        })?;
        control.keep(thread);
        Ok(())
    });
    drop((alive, callers, crew, starting));
    // Where a thread was refused, dropping the server stops and joins those before it.
    started.map(|()| server)
}

/// The workers that have not ended, all together.
pub(super) struct Crew(pub(super) Arc<Callers>);

impl Drop for Crew {
    fn drop(&mut self) {
        self.0.close();
    }
}
