//! Calls of the C library in any order: a status is one of the header's, and `daytime_last_error` has it; a buffer is not
//! overrun and ends in NUL, a setting after the start is rejected, user data is freed exactly once, and a descriptor has one
//! owner. Every function of the header is called here.
//!
//! The input is a list of calls: a byte chooses the function, and its parameters follow. There are two servers, one client,
//! and no network but 127.0.0.1. Each input starts at most two servers, and makes at most [`CALLS`] calls.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    mem,
    net::{TcpListener, UdpSocket},
    os::fd::{AsRawFd, IntoRawFd, OwnedFd},
    ptr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use super::Input;

/// Links the library.
use daytime as _;

/// The most calls of one input.
const CALLS: usize = 64;

const OK: c_int = 0;
const INVALID: c_int = -1;
const STATE: c_int = -2;
const IO: c_int = -3;
const TIMEOUT: c_int = -4;
const CLOSED: c_int = -5;
const TRUNCATED: c_int = -8;

const RFC867: c_int = 1;
const RFC868: c_int = 2;
const RFC867_UDP: c_int = 5;
const RFC868_UDP: c_int = 6;

#[repr(C)]
struct Server(c_void);
#[repr(C)]
struct Client(c_void);
#[repr(C)]
struct Request(c_void);
#[repr(C)]
struct Reply(c_void);
#[repr(C)]
struct Responder(c_void);
#[repr(C)]
struct ClientContext(c_void);

#[repr(C)]
#[derive(Clone, Copy, PartialEq)]
struct CError {
    status: c_int,
    os_error: c_int,
    message: [c_char; 248],
}

type Text = *const c_char;
type Buffer = *mut c_char;
type Free = Option<unsafe extern "C" fn(*mut c_void)>;
type Handler = Option<unsafe extern "C" fn(*const Request, *mut Reply, *mut c_void) -> c_int>;

// As include/daytime.h declares them. A status is an int.
unsafe extern "C" {
    fn daytime_version() -> Text;
    fn daytime_version_number() -> u32;
    fn daytime_last_error() -> *const CError;
    fn daytime_strerror(status: c_int) -> Text;
    fn daytime_server_new() -> *mut Server;
    fn daytime_server_free(server: *mut Server);
    fn daytime_server_set_workers(server: *mut Server, n: u32) -> c_int;
    fn daytime_server_set_handler_threads(server: *mut Server, n: u32) -> c_int;
    fn daytime_server_set_backlog(server: *mut Server, n: u32) -> c_int;
    fn daytime_server_set_max_clients(server: *mut Server, n: usize) -> c_int;
    fn daytime_server_set_max_clients_per_source(server: *mut Server, n: usize) -> c_int;
    fn daytime_server_set_idle_timeout(server: *mut Server, ms: u32) -> c_int;
    fn daytime_server_set_first_command_timeout(server: *mut Server, ms: u32) -> c_int;
    fn daytime_server_set_write_timeout(server: *mut Server, ms: u32) -> c_int;
    fn daytime_server_set_proxy_timeout(server: *mut Server, ms: u32) -> c_int;
    fn daytime_server_set_udp_rate(server: *mut Server, n: u32) -> c_int;
    fn daytime_server_set_busy_poll(server: *mut Server, us: u32) -> c_int;
    fn daytime_server_set_greeting(server: *mut Server, text: Text) -> c_int;
    fn daytime_server_set_framing(server: *mut Server, framing: c_int) -> c_int;
    fn daytime_server_set_day_format(server: *mut Server, format: Text) -> c_int;
    fn daytime_server_set_date_format(server: *mut Server, format: Text) -> c_int;
    fn daytime_server_set_time_format(server: *mut Server, format: Text) -> c_int;
    fn daytime_server_set_timezone(server: *mut Server, zone: Text) -> c_int;
    fn daytime_server_set_clock(server: *mut Server, unix_seconds: i64) -> c_int;
    fn daytime_server_set_clock_offset(server: *mut Server, seconds: i64) -> c_int;
    fn daytime_server_set_clock_system(server: *mut Server) -> c_int;
    fn daytime_server_reload_zones(server: *mut Server) -> c_int;
    fn daytime_server_add_command(
        server: *mut Server,
        name: Text,
        handler: Handler,
        data: *mut c_void,
        free: Free,
    ) -> c_int;
    fn daytime_server_set_usage(server: *mut Server, usage: Text) -> c_int;
    fn daytime_server_enable_events(server: *mut Server, capacity: usize, commands: c_int) -> c_int;
    fn daytime_server_start(server: *mut Server, err: *mut CError) -> c_int;
    fn daytime_server_stop(server: *mut Server);
    fn daytime_server_drain(server: *mut Server, grace_ms: u32) -> c_int;
    fn daytime_server_wait(server: *mut Server, timeout_ms: c_int) -> c_int;
    fn daytime_server_warning(server: *const Server, index: usize, buf: Buffer, cap: usize) -> c_int;
    fn daytime_server_stats(server: *const Server, out: *mut c_void, size: usize) -> c_int;
    fn daytime_server_metrics(server: *const Server, buf: Buffer, cap: usize, needed: *mut usize) -> c_int;
    fn daytime_server_next_event(server: *mut Server, out: *mut c_void, size: usize, timeout_ms: c_int) -> c_int;
    fn daytime_server_clients(
        server: *const Server,
        out: *mut c_void,
        size: usize,
        cap: usize,
        count: *mut usize,
    ) -> c_int;
    fn daytime_server_disconnect(server: *mut Server, client: u64) -> c_int;
    fn daytime_server_listen(server: *mut Server, address: Text) -> c_int;
    fn daytime_server_listen_as(server: *mut Server, service: c_int, address: Text) -> c_int;
    fn daytime_server_listen_fd(server: *mut Server, fd: c_int) -> c_int;
    fn daytime_server_listen_fd_as(server: *mut Server, service: c_int, fd: c_int) -> c_int;
    fn daytime_server_set_reuse_port(server: *mut Server, on: c_int) -> c_int;
    fn daytime_server_set_unix_mode(server: *mut Server, mode: u32) -> c_int;
    fn daytime_server_allow(server: *mut Server, network: Text) -> c_int;
    fn daytime_server_deny(server: *mut Server, network: Text) -> c_int;
    fn daytime_server_proxy(server: *mut Server, network: Text) -> c_int;
    fn daytime_server_set_networks(
        server: *mut Server,
        allow: *const Text,
        n: usize,
        deny: *const Text,
        m: usize,
    ) -> c_int;
    fn daytime_server_set_proxies(server: *mut Server, networks: *const Text, n: usize) -> c_int;
    fn daytime_server_local_addr(server: *const Server, buf: Buffer, cap: usize) -> c_int;
    fn daytime_server_address(server: *const Server, service: c_int, index: usize, buf: Buffer, cap: usize) -> c_int;
    fn daytime_server_port(server: *const Server) -> u16;
    fn daytime_server_on_connect(
        server: *mut Server,
        hook: Option<unsafe extern "C" fn(*const ClientContext, *mut c_void) -> *mut c_void>,
        state_free: Free,
        data: *mut c_void,
        free: Free,
    ) -> c_int;
    fn daytime_server_on_disconnect(
        server: *mut Server,
        hook: Option<unsafe extern "C" fn(*const ClientContext, c_int, *mut c_void)>,
        data: *mut c_void,
        free: Free,
    ) -> c_int;
    fn daytime_request_argument(request: *const Request) -> Text;
    fn daytime_request_command(request: *const Request) -> Text;
    fn daytime_request_peer(request: *const Request) -> Text;
    fn daytime_request_client(request: *const Request) -> u64;
    fn daytime_request_is_cancelled(request: *const Request) -> c_int;
    fn daytime_request_drain(request: *const Request, grace_ms: u32);
    fn daytime_request_state(request: *const Request) -> *mut c_void;
    fn daytime_request_defer(request: *const Request) -> *mut Responder;
    fn daytime_request_stop(request: *const Request);
    fn daytime_reply_set(reply: *mut Reply, text: Text) -> c_int;
    fn daytime_reply_error(reply: *mut Reply, text: Text) -> c_int;
    fn daytime_reply_close(reply: *mut Reply);
    fn daytime_responder_reply(responder: *mut Responder, text: Text) -> c_int;
    fn daytime_responder_error(responder: *mut Responder, text: Text) -> c_int;
    fn daytime_responder_fail(responder: *mut Responder, text: Text) -> c_int;
    fn daytime_responder_close(responder: *mut Responder, text: Text) -> c_int;
    fn daytime_responder_client(responder: *const Responder) -> u64;
    fn daytime_responder_is_cancelled(responder: *const Responder) -> c_int;
    fn daytime_responder_free(responder: *mut Responder);
    fn daytime_client_context_client(client: *const ClientContext) -> u64;
    fn daytime_client_context_peer(client: *const ClientContext) -> Text;
    fn daytime_client_context_state(client: *const ClientContext) -> *mut c_void;
    fn daytime_client_connect(address: Text, timeout_ms: c_int, out: *mut *mut Client, err: *mut CError) -> c_int;
    fn daytime_client_free(client: *mut Client);
    fn daytime_client_greeting(client: *const Client, buf: Buffer, cap: usize, err: *mut CError) -> c_int;
    fn daytime_client_peer(client: *const Client, buf: Buffer, cap: usize, err: *mut CError) -> c_int;
    fn daytime_client_day(client: *mut Client, buf: Buffer, cap: usize, err: *mut CError) -> c_int;
    fn daytime_client_date(client: *mut Client, buf: Buffer, cap: usize, err: *mut CError) -> c_int;
    fn daytime_client_time(client: *mut Client, buf: Buffer, cap: usize, err: *mut CError) -> c_int;
    fn daytime_client_datetime(client: *mut Client, buf: Buffer, cap: usize, err: *mut CError) -> c_int;
    fn daytime_client_tz(
        client: *mut Client,
        zone: *const c_char,
        buf: *mut c_char,
        cap: usize,
        err: *mut CError,
    ) -> c_int;
    fn daytime_client_next_transition(
        client: *mut Client,
        zone: *const c_char,
        seconds: *mut i64,
        offset: *mut c_int,
        err: *mut CError,
    ) -> c_int;
    fn daytime_client_timestamp(client: *mut Client, seconds: *mut i64, err: *mut CError) -> c_int;
    fn daytime_client_request(client: *mut Client, command: Text, buf: Buffer, cap: usize, err: *mut CError) -> c_int;
    fn daytime_client_quit(client: *mut Client, err: *mut CError) -> c_int;
    fn daytime_rfc867(address: Text, timeout_ms: c_int, buf: Buffer, cap: usize, err: *mut CError) -> c_int;
    fn daytime_rfc868(address: Text, timeout_ms: c_int, unix_seconds: *mut i64, err: *mut CError) -> c_int;
    fn daytime_rfc867_udp(address: Text, timeout_ms: c_int, buf: Buffer, cap: usize, err: *mut CError) -> c_int;
    fn daytime_rfc868_udp(address: Text, timeout_ms: c_int, unix_seconds: *mut i64, err: *mut CError) -> c_int;
}

/// The user data that the library has, and what it has freed: each is a counter that must become 1.
#[derive(Default)]
struct Ledger {
    given: Vec<Arc<UserData>>,
    /// The states of clients that the hook has given, less those that were freed.
    states: Arc<AtomicUsize>,
}

struct UserData {
    freed: AtomicUsize,
    states: Arc<AtomicUsize>,
    /// The responders that a handler keeps for later.
    kept: Mutex<Vec<Kept>>,
}

struct Kept(*mut Responder);

// SAFETY: a responder may be used by any thread.
unsafe impl Send for Kept {}

impl Ledger {
    fn data(&mut self) -> *mut c_void {
        let kept = Mutex::default();
        let data = Arc::new(UserData { freed: AtomicUsize::new(0), states: self.states.clone(), kept });
        self.given.push(data.clone());
        Arc::into_raw(data).cast_mut().cast()
    }

    /// After all servers have ended.
    fn check(&self) {
        self.given.iter().for_each(|data| assert_eq!(data.freed.load(SeqCst), 1, "user data is freed once"));
        assert_eq!(self.states.load(SeqCst), 0, "states are freed once");
    }
}

unsafe extern "C" fn free_data(data: *mut c_void) {
    // SAFETY: `Ledger::data` made it, and the ledger has another reference, so that a second call is counted.
    unsafe {
        (*data.cast::<UserData>()).freed.fetch_add(1, SeqCst);
        Arc::decrement_strong_count(data.cast::<UserData>());
    }
}

unsafe extern "C" fn free_state(state: *mut c_void) {
    // SAFETY: `connected` made it.
    let states = unsafe { Box::from_raw(state.cast::<Arc<AtomicUsize>>()) };
    states.fetch_sub(1, SeqCst);
}

unsafe extern "C" fn connected(client: *const ClientContext, data: *mut c_void) -> *mut c_void {
    // SAFETY: the data is not freed before its last hook has returned, and the client is valid inside the hook.
    unsafe {
        assert!(!CStr::from_ptr(daytime_client_context_peer(client)).is_empty());
        assert_ne!(daytime_client_context_client(client), 0);
        assert!(daytime_client_context_state(client).is_null());
        let states = (*data.cast::<UserData>()).states.clone();
        states.fetch_add(1, SeqCst);
        Box::into_raw(Box::new(states)).cast()
    }
}

unsafe extern "C" fn disconnected(client: *const ClientContext, reason: c_int, data: *mut c_void) {
    assert!((1..=13).contains(&reason));
    // SAFETY: as in `connected`.
    unsafe {
        assert_eq!((*data.cast::<UserData>()).freed.load(SeqCst), 0);
        let state = daytime_client_context_state(client).cast::<Arc<AtomicUsize>>();
        assert!(state.is_null() || (*state).load(SeqCst) > 0);
    }
}

/// The argument says what the handler does with it.
unsafe extern "C" fn handle(request: *const Request, reply: *mut Reply, data: *mut c_void) -> c_int {
    // SAFETY: the data is not freed before its last handler has returned. The others are valid inside the handler.
    unsafe {
        let user_data = &*data.cast::<UserData>();
        assert_eq!(user_data.freed.load(SeqCst), 0);
        let state = daytime_request_state(request).cast::<Arc<AtomicUsize>>();
        assert!(state.is_null() || (*state).load(SeqCst) > 0);
        let text = daytime_request_argument(request);
        assert!(!CStr::from_ptr(daytime_request_command(request)).is_empty());
        assert!(!CStr::from_ptr(daytime_request_peer(request)).is_empty());
        assert_ne!(daytime_request_client(request), 0);
        assert!(matches!(daytime_request_is_cancelled(request), 0 | 1));
        match CStr::from_ptr(text).to_bytes().first().map_or(0, |byte| byte % 11) {
            0 => 0,
            1 => daytime_reply_set(reply, text),
            2 => daytime_reply_error(reply, text),
            3 => {
                daytime_reply_close(reply);
                0
            }
            4 => {
                daytime_reply_close(reply);
                daytime_reply_set(reply, text)
            }
            5 => {
                daytime_reply_set(reply, text);
                1
            }
            6 => {
                let responder = daytime_request_defer(request);
                assert!(!responder.is_null() && daytime_request_defer(request).is_null());
                assert_eq!(daytime_responder_client(responder), daytime_request_client(request));
                daytime_responder_free(responder);
                0
            }
            7 => answer(daytime_request_defer(request), text, 0),
            8 => answer(daytime_request_defer(request), text, 1),
            9 => {
                let mut kept = user_data.kept.lock().unwrap_or_else(PoisonError::into_inner);
                // A second one would wait for the first.
                kept.push(Kept(daytime_request_defer(request)));
                0
            }
            // The handler's own text, and more of it.
            _ if CStr::from_ptr(text).count_bytes() > 1 => {
                daytime_request_drain(request, 5);
                daytime_reply_set(reply, text)
            }
            _ => {
                daytime_request_stop(request);
                0
            }
        }
    }
}

/// Answers, twice, and frees the responder.
unsafe fn answer(responder: *mut Responder, text: Text, kind: u8) -> c_int {
    // SAFETY: the responder is that of the caller, and this is the last call on it.
    unsafe {
        let answers =
            [daytime_responder_reply, daytime_responder_close, daytime_responder_error, daytime_responder_fail];
        let first = answers[usize::from(kind) % answers.len()](responder, text);
        assert!(first == OK || first == INVALID, "{first}");
        if first == OK {
            assert_eq!(daytime_responder_is_cancelled(responder), 1);
            assert_eq!(daytime_responder_fail(responder, c"again".as_ptr()), STATE);
        }
        daytime_responder_free(responder);
    }
    0
}

/// A status of the header, and not that of a panic. Errors of the system depend on the machine. The last error of the thread
/// is that of this call, if it has failed.
#[track_caller]
fn status(status: c_int) -> c_int {
    assert!((-8..=0).contains(&status), "status {status}");
    // SAFETY: the pointer is valid until the next failure of this thread.
    let last = unsafe { &*daytime_last_error() };
    assert!(status == OK || last.status == status, "status {status}, but the last error is {}", last.status);
    // SAFETY: the array is the whole text.
    let text = unsafe { CStr::from_ptr(last.message.as_ptr()) };
    assert!(text.to_str().is_ok() && text.is_empty() == (last.status == OK), "{text:?}");
    status
}

/// The same of a call that has a parameter for its error.
#[track_caller]
fn status_of(error: &CError, returned: c_int) -> c_int {
    status(returned);
    // SAFETY: the pointer is valid until the next failure of this thread.
    assert!(returned == OK || *error == unsafe { *daytime_last_error() }, "the error is not the last one");
    returned
}

/// A status of a call that writes a text to a buffer of this size.
#[track_caller]
fn written(cap: usize, call: impl FnOnce(Buffer, usize) -> c_int) -> c_int {
    // A sanitizer finds a write after the end of the block.
    let mut buffer = vec![0x55u8; cap].into_boxed_slice();
    let returned = status(call(buffer.as_mut_ptr().cast(), cap));
    match returned {
        OK | TRUNCATED => {
            let text = CStr::from_bytes_until_nul(&buffer).expect("a text ends in NUL");
            assert!(text.to_str().is_ok(), "{text:?}");
            assert!(returned == OK || text.to_bytes().len() + 4 >= cap, "{text:?} is cut too early");
        }
        _ => assert!(buffer.iter().all(|byte| *byte == 0x55), "a failure writes"),
    }
    returned
}

struct Handle {
    server: *mut Server,
    started: bool,
}

struct Calls<'a> {
    input: Input<'a>,
    servers: [Handle; 2],
    client: *mut Client,
    starts: usize,
    ledger: Ledger,
}

fn error() -> CError {
    CError { status: 0, os_error: 0, message: [0x55; 248] }
}

impl Calls<'_> {
    fn text(&mut self) -> CString {
        CString::new(self.input.line().split(|byte| *byte == 0).next().unwrap_or_default()).unwrap_or_default()
    }

    fn number(&mut self) -> u32 {
        match self.input.byte() {
            // Zero, small numbers, and the greatest ones.
            n @ 0..200 => u32::from(n),
            n => u32::MAX - u32::from(n - 200),
        }
    }

    /// A size of a buffer, up to 1,100.
    fn cap(&mut self) -> usize {
        match self.input.byte() {
            n @ 0..128 => usize::from(n),
            n => 1100 - usize::from(n - 128) * 4,
        }
    }

    /// One call. The byte chooses it and its server.
    fn call(&mut self) {
        let choice = self.input.byte();
        let at = usize::from(choice >= 128);
        let choice = match choice % 128 {
            n @ ..76 => n,
            n => n - 64,
        };
        let (server, started) = (self.servers[at].server, self.servers[at].started);
        // A setting, and its status after the start.
        let setting = |returned: c_int| {
            status(returned);
            assert!(returned == OK || returned == INVALID || (started && returned == STATE), "status {returned}");
            assert!(!started || returned != OK, "a setting after the start");
        };
        let of_running = |returned: c_int| {
            status(returned);
            assert!(started || returned == STATE || returned == INVALID, "status {returned} before the start");
            returned
        };
        // SAFETY: handles are those of the library and not freed, texts end in NUL, and buffers have their sizes.
        unsafe {
            match choice {
                0 => setting(daytime_server_set_workers(server, self.number().min(3))),
                1 => setting(daytime_server_set_handler_threads(server, self.number().min(3))),
                2 => setting(daytime_server_set_backlog(server, self.number())),
                3 => setting(daytime_server_set_max_clients(server, self.number() as usize)),
                4 => setting(daytime_server_set_max_clients_per_source(server, self.number() as usize)),
                5 => setting(daytime_server_set_idle_timeout(server, self.number())),
                6 => setting(daytime_server_set_first_command_timeout(server, self.number())),
                7 => {
                    let time = self.number();
                    setting(daytime_server_set_write_timeout(server, time));
                    setting(daytime_server_set_proxy_timeout(server, time));
                }
                8 => setting(daytime_server_set_greeting(server, self.text().as_ptr())),
                9 => setting(daytime_server_set_framing(server, self.number() as c_int)),
                10 => setting(daytime_server_set_day_format(server, self.text().as_ptr())),
                11 => setting(daytime_server_set_date_format(server, self.text().as_ptr())),
                12 => setting(daytime_server_set_time_format(server, self.text().as_ptr())),
                13 => setting(daytime_server_set_timezone(server, self.text().as_ptr())),
                14 => assert_eq!(daytime_server_set_clock(server, i64::from_le_bytes(self.input.bytes())), OK),
                15 => assert_eq!(daytime_server_set_clock_offset(server, i64::from_le_bytes(self.input.bytes())), OK),
                16 => assert_eq!(daytime_server_set_clock_system(server), OK),
                17 => assert_eq!(daytime_server_reload_zones(server), if started { OK } else { STATE }),
                18..22 => {
                    let (name, data) = (self.text(), self.ledger.data());
                    setting(daytime_server_add_command(server, name.as_ptr(), Some(handle), data, Some(free_data)));
                }
                22 => {
                    let data = self.ledger.data();
                    let returned = daytime_server_add_command(server, ptr::null(), Some(handle), data, Some(free_data));
                    assert_eq!(returned, INVALID);
                    let data = self.ledger.data();
                    setting(daytime_server_add_command(server, c"none".as_ptr(), None, data, Some(free_data)));
                }
                23 => setting(daytime_server_set_usage(server, self.text().as_ptr())),
                24 => setting(daytime_server_enable_events(server, self.number().min(1 << 21) as usize, 1)),
                25 => setting(daytime_server_set_unix_mode(server, self.number())),
                26 => {
                    let network = self.text();
                    setting(daytime_server_allow(server, network.as_ptr()));
                    setting(daytime_server_proxy(server, network.as_ptr()));
                }
                27 => setting(daytime_server_deny(server, self.text().as_ptr())),
                28 => {
                    let texts = [self.text(), self.text(), c"127.0.0.0/8".into()];
                    let texts = [texts[0].as_ptr(), texts[1].as_ptr(), texts[2].as_ptr()];
                    let n = usize::from(self.input.byte() % 4);
                    let returned = daytime_server_set_networks(server, texts.as_ptr(), n, texts.as_ptr(), 3 - n);
                    assert!(status(returned) == OK || returned == INVALID);
                    assert_eq!(daytime_server_set_networks(server, ptr::null(), 0, ptr::null(), 0), OK);
                    assert_eq!(daytime_server_set_networks(server, ptr::null(), 1, ptr::null(), 0), INVALID);
                }
                29 => {
                    let data = self.ledger.data();
                    setting(daytime_server_on_connect(
                        server,
                        Some(connected),
                        Some(free_state),
                        data,
                        Some(free_data),
                    ));
                }
                30 => {
                    let data = self.ledger.data();
                    setting(daytime_server_on_disconnect(server, Some(disconnected), data, Some(free_data)));
                }
                // Any text is checked as an address, but only 127.0.0.1 is bound.
                31 => {
                    let other = daytime_server_new();
                    let returned = status(daytime_server_listen(other, self.text().as_ptr()));
                    assert!(returned == OK || returned == INVALID);
                    daytime_server_free(other);
                }
                32 => setting(daytime_server_listen_as(server, self.number() as c_int, c"127.0.0.1:0".as_ptr())),
                33 => setting(daytime_server_listen_fd(server, -1)),
                34..38 => self.start(at),
                38 => daytime_server_stop(server),
                39 => _ = of_running(daytime_server_drain(server, self.number().min(20))),
                40 => {
                    let returned = of_running(daytime_server_wait(server, self.number().min(5) as c_int));
                    assert!([OK, TIMEOUT, STATE].contains(&returned));
                }
                41 => {
                    let (index, cap) = (self.number() as usize, self.cap());
                    of_running(written(cap, |buf, cap| daytime_server_warning(server, index, buf, cap)));
                }
                42 => {
                    let size = self.cap();
                    let mut out = vec![0x55u8; size];
                    of_running(daytime_server_stats(server, out.as_mut_ptr().cast(), size));
                }
                43 | 44 => {
                    let (size, timeout) = (self.cap(), self.number().min(5) as c_int);
                    let mut out = vec![0x55u8; size];
                    let returned =
                        of_running(daytime_server_next_event(server, out.as_mut_ptr().cast(), size, timeout));
                    assert!([OK, INVALID, STATE, TIMEOUT, CLOSED].contains(&returned), "status {returned}");
                }
                45 => {
                    let (size, cap, mut count) = (self.cap(), usize::from(self.input.byte() % 4), 0);
                    let mut out = vec![0x55u8; size * cap];
                    let out = if cap == 0 { ptr::null_mut() } else { out.as_mut_ptr().cast() };
                    of_running(daytime_server_clients(server, out, size, cap, &raw mut count));
                }
                46 => _ = of_running(daytime_server_disconnect(server, u64::from(self.number()))),
                47 => {
                    let cap = self.cap();
                    of_running(written(cap, |buf, cap| daytime_server_local_addr(server, buf, cap)));
                }
                48 => {
                    let (service, index, cap) = (self.number() as c_int, self.number() as usize, self.cap());
                    of_running(written(cap, |buf, cap| daytime_server_address(server, service, index, buf, cap)));
                }
                49 => assert!(started || daytime_server_port(server) == 0),
                50 => {
                    daytime_server_free(mem::replace(&mut self.servers[at].server, new_server()));
                    self.servers[at].started = false;
                }
                51..54 => self.connect(at),
                54 => daytime_client_free(mem::replace(&mut self.client, ptr::null_mut())),
                55 => self.free_kept(),
                56 => {
                    assert!(!CStr::from_ptr(daytime_strerror(self.number() as c_int)).is_empty());
                    let version = CStr::from_ptr(daytime_version()).to_string_lossy();
                    let number = version.split('.').fold(0, |n, part| n * 1000 + part.parse::<u32>().unwrap());
                    assert_eq!(number, daytime_version_number(), "{version}");
                }
                64 => setting(daytime_server_set_busy_poll(server, self.number())),
                65 => {
                    let n = self.number();
                    let returned = daytime_server_set_udp_rate(server, n);
                    setting(returned);
                    assert!(started || (returned == OK) == (1..=10_000).contains(&n), "status {returned} for {n}");
                }
                66 => {
                    // Each server has a listener whose port is 0.
                    let on = self.number() as c_int;
                    let returned = daytime_server_set_reuse_port(server, on);
                    setting(returned);
                    assert!(started || (returned == OK) == (on == 0), "status {returned} for {on}");
                }
                67 => {
                    let texts = [self.text(), self.text()];
                    let texts = [texts[0].as_ptr(), texts[1].as_ptr(), c"127.0.0.1".as_ptr()];
                    let returned = daytime_server_set_proxies(server, texts.as_ptr(), texts.len());
                    assert!(status(returned) == OK || returned == INVALID);
                    assert_eq!(daytime_server_set_proxies(server, ptr::null(), 1), INVALID);
                    assert_eq!(
                        daytime_server_set_proxies(server, texts[2..].as_ptr(), self.number().min(1) as usize),
                        OK
                    );
                }
                68 => self.metrics(server, started),
                69 => self.listen_fd_as(server, started),
                70 => setting(daytime_server_listen_as(
                    server,
                    c_int::from(self.input.byte() % 7),
                    c"127.0.0.1:0".as_ptr(),
                )),
                71 => self.rfc(server, RFC867),
                72 => self.rfc(server, RFC868),
                73 => self.rfc(server, RFC867_UDP),
                74 => self.rfc(server, RFC868_UDP),
                75 => {
                    let address = CString::new([b"unix:", self.text().as_bytes()].concat()).unwrap_or_default();
                    let (mut error, mut seconds) = (error(), 0);
                    let returned = daytime_rfc868_udp(address.as_ptr(), 1, &raw mut seconds, &raw mut error);
                    assert_eq!(status_of(&error, returned), INVALID);
                }
                choice => self.client_call(choice),
            }
        }
    }

    fn start(&mut self, at: usize) {
        let Handle { server, started } = &mut self.servers[at];
        if self.starts >= 2 && !*started {
            return;
        }
        self.starts += 1;
        let mut error = error();
        // SAFETY: the server is not freed, and the error may be written.
        let returned = unsafe { daytime_server_start(*server, &raw mut error) };
        status_of(&error, returned);
        assert!(!*started || returned == STATE);
        *started |= returned == OK;
    }

    /// The text for Prometheus: `needed` is the size that holds it.
    fn metrics(&mut self, server: *const Server, started: bool) {
        let (cap, mut needed) = (self.cap().max(1), usize::MAX);
        let metrics = |buf, cap, needed: &mut usize| {
            // SAFETY: the server is not freed, and the buffer has its size.
            unsafe { daytime_server_metrics(server, buf, cap, needed) }
        };
        let returned = written(cap, |buf, cap| metrics(buf, cap, &mut needed));
        if !started {
            assert_eq!((returned, needed), (STATE, usize::MAX));
            return;
        }
        assert_eq!(returned, if needed <= cap { OK } else { TRUNCATED }, "{needed} bytes are needed of {cap}");
        assert_eq!(status(metrics(ptr::null_mut(), 0, &mut needed)), OK);
        // Its numbers may grow in the meantime.
        assert_eq!(written(needed + 100, |buf, cap| metrics(buf, cap, &mut needed)), OK);
    }

    /// A descriptor is the server's on success, and stays ours on failure.
    fn listen_fd_as(&mut self, server: *mut Server, started: bool) {
        let (service, kind) = (c_int::from(self.input.byte() % 9) - 1, self.input.byte() % 3);
        let socket: Option<OwnedFd> = match kind {
            0 => TcpListener::bind("127.0.0.1:0").ok().map(Into::into),
            1 => UdpSocket::bind("127.0.0.1:0").ok().map(Into::into),
            _ => None,
        };
        let fd = socket.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        // SAFETY: the server is not freed, and the descriptor is open or -1.
        let returned = status(unsafe { daytime_server_listen_fd_as(server, service, fd) });
        let fits = matches!((service, kind), (0..=4, 0) | (5..=6, 1)) && fd != -1;
        assert_eq!(returned == OK, fits && !started, "status {returned} of service {service}");
        match socket {
            Some(socket) if returned == OK => _ = socket.into_raw_fd(),
            Some(socket) => assert!(socket.try_clone().is_ok(), "the descriptor is closed"),
            None => {}
        }
    }

    /// Asks a server that was started in a protocol of the RFCs. It may have stopped, or reject the client.
    fn rfc(&mut self, server: *const Server, service: c_int) {
        let (mut address, mut seconds, mut error) = ([0; 128], i64::MIN, error());
        let (index, cap, err) = (usize::from(self.input.byte() % 2), self.cap(), &raw mut error);
        // SAFETY: the server is not freed, the buffers have their sizes, and the others may be written.
        let returned = unsafe {
            if daytime_server_address(server, service, index, address.as_mut_ptr(), address.len()) != OK {
                return;
            }
            let address = address.as_ptr();
            match service {
                RFC867 => written(cap, |buf, cap| daytime_rfc867(address, 50, buf, cap, err)),
                RFC867_UDP => written(cap, |buf, cap| daytime_rfc867_udp(address, 50, buf, cap, err)),
                RFC868 => daytime_rfc868(address, 50, &raw mut seconds, err),
                _ => daytime_rfc868_udp(address, 50, &raw mut seconds, err),
            }
        };
        status_of(&error, returned);
        let is_possible = match returned {
            OK | IO | TIMEOUT => true,
            CLOSED => service < RFC867_UDP,
            // An empty buffer is invalid. The address is valid.
            INVALID => cap == 0,
            TRUNCATED => service == RFC867 || service == RFC867_UDP,
            _ => false,
        };
        assert!(is_possible, "status {returned} of service {service}");
        if service == RFC868 || service == RFC868_UDP {
            // What four bytes of RFC 868 can stand for.
            let was_written = (-61_505_152..=4_233_462_143).contains(&seconds);
            assert!(was_written || (returned != OK && seconds == i64::MIN), "{seconds}, status {returned}");
        }
    }

    /// Connects to a server that was started. It may have stopped, or reject the client.
    unsafe fn connect(&mut self, at: usize) {
        let mut address = [0; 128];
        let (mut client, mut error) = (ptr::null_mut(), error());
        // SAFETY: the handles are not freed, and the others may be written.
        unsafe {
            if daytime_server_local_addr(self.servers[at].server, address.as_mut_ptr(), address.len()) != OK {
                return;
            }
            let returned = daytime_client_connect(address.as_ptr(), 50, &raw mut client, &raw mut error);
            assert_eq!(status_of(&error, returned) == OK, !client.is_null());
            daytime_client_free(mem::replace(&mut self.client, client));
        }
    }

    unsafe fn client_call(&mut self, choice: u8) {
        let (client, mut error, mut seconds) = (self.client, error(), 0);
        let err = &raw mut error;
        let command = if choice >= 62 { self.text() } else { CString::default() };
        let cap = self.cap();
        // SAFETY: the client is NULL or not freed, and the others may be written.
        let returned = unsafe {
            match choice {
                57 => written(cap, |buf, cap| daytime_client_day(client, buf, cap, err)),
                58 => written(cap, |buf, cap| daytime_client_date(client, buf, cap, err)),
                59 => written(cap, |buf, cap| daytime_client_time(client, buf, cap, err)),
                60 => {
                    written(cap, |buf, cap| daytime_client_peer(client, buf, cap, err));
                    written(cap, |buf, cap| daytime_client_greeting(client, buf, cap, err));
                    written(cap, |buf, cap| daytime_client_datetime(client, buf, cap, err))
                }
                61 if cap < 64 => status(daytime_client_quit(client, err)),
                61 if cap < 128 => {
                    let mut offset = 0;
                    status(daytime_client_timestamp(client, &raw mut seconds, err));
                    let next = daytime_client_next_transition;
                    status(next(client, command.as_ptr(), &raw mut seconds, &raw mut offset, err))
                }
                61 => written(cap, |buf, cap| daytime_client_tz(client, command.as_ptr(), buf, cap, err)),
                _ => written(cap, |buf, cap| daytime_client_request(client, command.as_ptr(), buf, cap, err)),
            }
        };
        status_of(&error, returned);
        assert!(!client.is_null() || returned == INVALID);
    }

    /// Answers and frees the responders that handlers have kept.
    fn free_kept(&mut self) {
        let kind = self.input.byte();
        for data in &self.ledger.given {
            let kept = mem::take(&mut *data.kept.lock().unwrap_or_else(PoisonError::into_inner));
            for Kept(responder) in kept {
                // SAFETY: a handler has kept it for this call.
                unsafe { answer(responder, c"later".as_ptr(), kind) };
            }
        }
    }
}

fn new_server() -> *mut Server {
    // SAFETY: a new server has no other user.
    unsafe {
        let server = daytime_server_new();
        assert_eq!(daytime_server_listen(server, c"127.0.0.1:0".as_ptr()), OK);
        assert_eq!(daytime_server_set_timezone(server, c"UTC".as_ptr()), OK);
        assert_eq!(daytime_server_set_workers(server, 1), OK);
        assert_eq!(daytime_server_set_handler_threads(server, 2), OK);
        server
    }
}

pub(crate) fn check(data: &[u8]) {
    let servers = [new_server(), new_server()].map(|server| Handle { server, started: false });
    let ledger = Ledger::default();
    let mut calls = Calls { input: Input(data), servers, client: ptr::null_mut(), starts: 0, ledger };
    for _ in 0..CALLS {
        if calls.input.is_empty() {
            break;
        }
        calls.call();
    }
    // SAFETY: these are the last calls on the handles.
    unsafe {
        // The answer of a responder that outlives its server goes nowhere.
        let client_first = calls.input.byte() < 128;
        if client_first {
            daytime_client_free(mem::replace(&mut calls.client, ptr::null_mut()));
        }
        calls.servers.iter().for_each(|handle| daytime_server_free(handle.server));
        daytime_client_free(calls.client);
    }
    calls.free_kept();
    calls.ledger.check();
}
