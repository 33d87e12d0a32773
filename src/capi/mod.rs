//! The C API. cbindgen generates `include/daytime.h`, which is its manual, from these files. `cargo clib` builds the
//! library.
//!
//! Every exported function is written out, since cbindgen does not expand macros. Its body is one [`entry!`]: it checks the
//! arguments and converts them ([`FromC`]), runs safe code that cannot unwind into C, and converts the result ([`IntoC`]).
//! A handle is only ever a `&T` here, except in the function that frees it: two threads in two calls on one handle are
//! normal.

#![allow(non_camel_case_types, unreachable_pub, clippy::enum_variant_names)]

// In the header's order.
mod server;

mod listen;

mod command;

mod responder;

mod hooks;

mod client;

mod events;

use std::{
    cell::Cell,
    ffi::{CStr, c_char, c_int, c_void},
    fmt::Display,
    io,
    marker::PhantomData,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    process, ptr,
};

use nix::errno::Errno;

use crate::{Error, protocol::REPLY_MAX};

/// The version of this header. daytime_version_number() returns that of the library.
pub const DAYTIME_VERSION_MAJOR: u32 = 0;
/// See DAYTIME_VERSION_MAJOR.
pub const DAYTIME_VERSION_MINOR: u32 = 1;
/// See DAYTIME_VERSION_MAJOR.
pub const DAYTIME_VERSION_PATCH: u32 = 0;
/// The version as one number that grows, for #if: MAJOR * 1000000 + MINOR * 1000 + PATCH.
pub const DAYTIME_VERSION_NUMBER: u32 = 1000;
/// The size of a buffer that holds every reply with its NUL.
pub const DAYTIME_REPLY_MAX: usize = 1024;
/// The size of a buffer that holds every address of a listener or a peer with its NUL. Only the path of a Unix socket with
/// control characters can exceed it, since they are escaped.
pub const DAYTIME_ADDR_MAX: usize = 128;

/// Status codes. Functions that take one accept any int. Values are stable across versions.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum daytime_status {
    /// Success.
    DAYTIME_OK = 0,
    /// An argument is invalid: NULL, not UTF-8, or out of range. Nothing has changed.
    DAYTIME_ERR_INVALID = -1,
    /// The call came at the wrong time or place: a setting after start, a wait inside a handler, a call in a forked child.
    DAYTIME_ERR_STATE = -2,
    /// The operating system reported an error. daytime_error.os_error has errno, or 0 for a name that does not resolve.
    DAYTIME_ERR_IO = -3,
    /// The timeout passed. A client that waited for a reply is broken.
    DAYTIME_ERR_TIMEOUT = -4,
    /// The peer closed the connection, or an earlier error broke the client, or the requested client or event is gone.
    DAYTIME_ERR_CLOSED = -5,
    /// The peer does not speak this protocol.
    DAYTIME_ERR_PROTOCOL = -6,
    /// The server answered with an error line, which is in daytime_error.message. The client stays usable.
    DAYTIME_ERR_REFUSED = -7,
    /// The buffer is too small. It holds the start of the text, NUL-terminated. The client stays usable.
    DAYTIME_ERR_TRUNCATED = -8,
    /// A bug of the library, which was caught. Free the handle.
    DAYTIME_ERR_PANIC = -9,
}

use daytime_status::*;

const _: () = assert!(DAYTIME_REPLY_MAX == REPLY_MAX + 1);
const _: () = assert!(
    DAYTIME_VERSION_NUMBER == DAYTIME_VERSION_MAJOR * 1_000_000 + DAYTIME_VERSION_MINOR * 1_000 + DAYTIME_VERSION_PATCH
);

/// The error of a call. Every call that fails writes it for its thread, see daytime_last_error(), and to its parameter err if it
/// has one that is not NULL. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct daytime_error {
    /// The daytime_status that was returned.
    pub status: c_int,
    /// errno of DAYTIME_ERR_IO, else 0.
    pub os_error: c_int,
    /// The message, NUL-terminated UTF-8, cut if it does not fit.
    pub message: [c_char; 248],
}

/// Frees the user data of a command or a hook. Called exactly once: by daytime_server_add_command() itself if it fails, or by
/// the call that replaces the hook; otherwise after the last handler has returned, either in daytime_server_free() or on a
/// server thread before daytime_server_wait() returns. It must not use the server. In a forked child it is not called for a
/// server that was started. The same type of function frees the state of a client, see daytime_server_on_connect().
pub type daytime_free_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The version of the library, such as "0.1.0".
/// Ownership: the library's. Lifetime: the process. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn daytime_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The version of the library as one number. Compare it with DAYTIME_VERSION_NUMBER.
/// Ownership: none. Lifetime: none. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn daytime_version_number() -> u32 {
    DAYTIME_VERSION_NUMBER
}

/// A description of a status. Any int has one.
/// Ownership: the library's. Lifetime: the process. Threads: any. Errors: none, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn daytime_strerror(status: c_int) -> *const c_char {
    status_message(status).as_ptr()
}

thread_local! {
    /// It has no destructor, so that the first use registers none.
    static LAST_ERROR: Cell<daytime_error> =
        const { Cell::new(daytime_error { status: 0, os_error: 0, message: [0; 248] }) };
}

/// The error of the last call of this thread that failed: which setting or argument is invalid, what was given, and what was
/// expected. A call that succeeds does not change it. Before the first failure, its status is DAYTIME_OK and its message "".
/// Ownership: the library's. Lifetime: until the next call of this thread that fails, or the end of the thread. Threads: any;
/// each has its own. Errors: none, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn daytime_last_error() -> *const daytime_error {
    LAST_ERROR.with(|last| last.as_ptr().cast_const())
}

fn status_message(status: c_int) -> &'static CStr {
    match status {
        0 => c"success",
        -1 => c"invalid argument",
        -2 => c"wrong state or thread for this call",
        -3 => c"operating system error",
        -4 => c"timed out",
        -5 => c"connection closed",
        -6 => c"the peer does not speak this protocol",
        -7 => c"the server answered with an error",
        -8 => c"the buffer is too small",
        -9 => c"internal error",
        _ => c"unknown status",
    }
}

/// The body of an exported function, `entry!(err; arguments => body)`, or without `err`. Each argument is a parameter from C
/// by name, or `name = (pointer, size)`. The body gets its converted value, and returns a `Result<_, Failure>`.
macro_rules! entry {
    ($err:ident; $($name:ident $(= $pair:expr)?),* => $body:expr) => {{
        let body = || {
            $(
                // SAFETY: the caller must pass NULL or a pointer that is valid for its type.
                let $name = unsafe { $crate::capi::FromC::convert($crate::capi::entry!(@ $name $(= $pair)?)) }?;
            )*
            $body
        };
        // SAFETY: the same for `err`.
        unsafe { $crate::capi::guard($err, body) }
    }};
    (@ $name:ident) => { $name };
    (@ $name:ident = $pair:expr) => { $pair };
    ($($arguments:tt)*) => {{
        let err = std::ptr::null_mut();
        $crate::capi::entry!(err; $($arguments)*)
    }};
}
use entry;

/// Runs a body. It preserves errno, converts a panic to a failure, and writes a failure for [`daytime_last_error`] and to `err`.
///
/// # Safety
/// `err` is NULL or may be written.
unsafe fn guard<A: IntoC>(err: *mut daytime_error, body: impl FnOnce() -> Result<A::Good, Failure>) -> A {
    let errno = Errno::last_raw();
    let panicked = |_| Err(Failure::new(DAYTIME_ERR_PANIC, status_message(-9).to_string_lossy()));
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(panicked);
    if let Err(failure) = &result {
        let error = daytime_error {
            status: failure.status as c_int,
            os_error: failure.os_error,
            message: cut(&failure.message),
        };
        // A thread that ends runs destructors of the embedder, which may call this library.
        let _ = LAST_ERROR.try_with(|last| last.set(error));
        if !err.is_null() {
            // SAFETY: this function's condition.
            unsafe { err.write(error) };
        }
    }
    Errno::set_raw(errno);
    match result {
        Ok(good) => A::good(good),
        Err(failure) => A::failed(failure.status),
    }
}

/// The return value of an exported function.
trait IntoC {
    type Good;
    fn good(good: Self::Good) -> Self;
    fn failed(status: daytime_status) -> Self;
}

impl IntoC for daytime_status {
    type Good = ();
    fn good((): ()) -> Self {
        DAYTIME_OK
    }
    fn failed(status: daytime_status) -> Self {
        status
    }
}

impl IntoC for () {
    type Good = ();
    fn good((): ()) {}
    fn failed(_: daytime_status) {}
}

impl<T> IntoC for *const T {
    type Good = *const T;
    fn good(good: *const T) -> Self {
        good
    }
    fn failed(_: daytime_status) -> Self {
        ptr::null()
    }
}

impl<T> IntoC for *mut T {
    type Good = *mut T;
    fn good(good: *mut T) -> Self {
        good
    }
    fn failed(_: daytime_status) -> Self {
        ptr::null_mut()
    }
}

macro_rules! number_answers {
    ($($number:ty)*) => {$(
        impl IntoC for $number {
            type Good = $number;
            fn good(good: $number) -> Self {
                good
            }
            fn failed(_: daytime_status) -> Self {
                0
            }
        }
    )*};
}
number_answers!(u16 u64 c_int);

/// The failure of an exported function.
struct Failure {
    status: daytime_status,
    os_error: c_int,
    message: String,
}

impl Failure {
    fn new(status: daytime_status, message: impl Display) -> Self {
        Failure { status, os_error: 0, message: message.to_string() }
    }
    fn invalid(why: impl Display) -> Self {
        Self::new(DAYTIME_ERR_INVALID, why)
    }
    fn state(why: impl Display) -> Self {
        Self::new(DAYTIME_ERR_STATE, why)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let status = match &error {
            Error::Invalid(_) => DAYTIME_ERR_INVALID,
            Error::State(_) | Error::Interrupted => DAYTIME_ERR_STATE,
            Error::Io(error, _) if matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof) => {
                DAYTIME_ERR_CLOSED
            }
            Error::Io(..) => DAYTIME_ERR_IO,
            Error::Timeout => DAYTIME_ERR_TIMEOUT,
            Error::Closed => DAYTIME_ERR_CLOSED,
            Error::Protocol(_) | Error::NoOffset(_) => DAYTIME_ERR_PROTOCOL,
            Error::Refused(_) => DAYTIME_ERR_REFUSED,
        };
        let os_error = match &error {
            Error::Io(error, _) if status == DAYTIME_ERR_IO => error.raw_os_error().unwrap_or(0),
            _ => 0,
        };
        Failure { status, os_error, message: error.to_string() }
    }
}

/// A parameter from C, and its value after it was checked.
trait FromC {
    type Value<'a>;

    /// # Safety
    /// A pointer must be NULL, or valid for its type while `'a` lasts.
    unsafe fn convert<'a>(self) -> Result<Self::Value<'a>, Failure>;
}

/// The target of an opaque pointer, which a function of this library has returned.
trait Opaque {
    /// The process that made it. `None` if that does not matter.
    fn process(&self) -> Option<u32>;
}

impl<T: Opaque + 'static> FromC for *const T {
    type Value<'a> = &'a T;

    unsafe fn convert<'a>(self) -> Result<&'a T, Failure> {
        // SAFETY: this function's condition.
        let handle = unsafe { self.as_ref() }.ok_or_else(null)?;
        match handle.process() {
            Some(process) if process != process::id() => Err(inherited()),
            _ => Ok(handle),
        }
    }
}

impl<T: Opaque + 'static> FromC for *mut T {
    type Value<'a> = &'a T;

    unsafe fn convert<'a>(self) -> Result<&'a T, Failure> {
        // SAFETY: this function's condition.
        unsafe { self.cast_const().convert() }
    }
}

/// A text without line ends.
impl FromC for *const c_char {
    type Value<'a> = &'a str;

    unsafe fn convert<'a>(self) -> Result<&'a str, Failure> {
        if self.is_null() {
            return Err(null());
        }
        // SAFETY: this function's condition, and it is not NULL.
        let text =
            unsafe { CStr::from_ptr(self) }.to_str().map_err(|_| Failure::invalid("a text argument is not UTF-8"))?;
        match text.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
            true => Err(Failure::invalid("a text argument has a line end")),
            false => Ok(text),
        }
    }
}

/// An array of such texts, which may be NULL if its size is 0.
impl FromC for (*const *const c_char, usize) {
    type Value<'a> = Vec<&'a str>;

    unsafe fn convert<'a>(self) -> Result<Vec<&'a str>, Failure> {
        let (start, size) = self;
        if start.is_null() && size > 0 {
            return Err(null());
        }
        // SAFETY: there are `size` texts, and this function's condition holds for each.
        (0..size).map(|i| unsafe { start.add(i).read().convert() }).collect()
    }
}

/// A buffer for a text.
impl FromC for (*mut c_char, usize) {
    type Value<'a> = Buffer<'a>;

    unsafe fn convert<'a>(self) -> Result<Buffer<'a>, Failure> {
        let (start, size) = self;
        if start.is_null() || size == 0 {
            return Err(Failure::invalid("the buffer is NULL or its size is 0"));
        }
        Ok(Buffer { start, size, lent: PhantomData })
    }
}

struct Buffer<'a> {
    start: *mut c_char,
    size: usize,
    lent: PhantomData<&'a mut c_char>,
}

impl Buffer<'_> {
    fn write(self, text: impl Display) -> Result<(), Failure> {
        let text = text.to_string();
        let kept = fitting(&text, self.size);
        // SAFETY: the buffer has `size` bytes, more than `kept`, and only the caller has access to it.
        unsafe {
            ptr::copy_nonoverlapping(text.as_ptr().cast(), self.start, kept);
            self.start.add(kept).write(0);
        }
        if kept == text.len() {
            return Ok(());
        }
        Err(Failure::new(
            DAYTIME_ERR_TRUNCATED,
            format!("the buffer has {} bytes, and {} are needed", self.size, text.len() + 1),
        ))
    }
}

/// A struct of plain numbers and texts without padding, which a later version may extend.
trait Extensible {}

/// Such a struct, with the size that the caller knows.
impl<T: Extensible + 'static> FromC for (*mut T, usize) {
    type Value<'a> = OutStruct<'a, T>;

    unsafe fn convert<'a>(self) -> Result<OutStruct<'a, T>, Failure> {
        let (start, size) = self;
        if start.is_null() || size == 0 {
            return Err(Failure::invalid("the struct is NULL or its size is 0"));
        }
        Ok(OutStruct { start: start.cast(), size, lent: PhantomData })
    }
}

struct OutStruct<'a, T> {
    start: *mut u8,
    size: usize,
    lent: PhantomData<&'a mut T>,
}

impl<T: Extensible> OutStruct<'_, T> {
    /// Writes the part that both sides know, and zeroes the part that only the caller knows.
    fn write(self, value: &T) {
        let known = self.size.min(mem::size_of::<T>());
        // SAFETY: there are `size` bytes, to which only the caller has access, and at least `known` on both sides. Bytes
        // do not need an alignment.
        unsafe {
            ptr::copy_nonoverlapping(ptr::from_ref(value).cast(), self.start, known);
            self.start.add(known).write_bytes(0, self.size - known);
        }
    }
}

fn inherited() -> Failure {
    Failure::state("a handle does not survive fork()")
}

fn null() -> Failure {
    Failure::invalid("a required argument is NULL")
}

/// The number of bytes of a text that fit with a NUL, in whole characters.
fn fitting(text: &str, size: usize) -> usize {
    let mut most = text.len().min(size - 1);
    while !text.is_char_boundary(most) {
        most -= 1;
    }
    most
}

/// The start of a text that fits with its NUL.
fn cut<const N: usize>(text: &str) -> [c_char; N] {
    let mut buffer = [0; N];
    let kept = fitting(text, N);
    for (to, from) in buffer.iter_mut().zip(&text.as_bytes()[..kept]) {
        *to = *from as c_char;
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_a_message() {
        let mut err = daytime_error { status: 0, os_error: 7, message: [1; 248] };
        let pointer = &raw mut err;
        let status: daytime_status = entry!(pointer; => panic!("on purpose"));
        assert_eq!((status, err.status, err.os_error), (DAYTIME_ERR_PANIC, -9, 0));
        assert_eq!(cut(status_message(-9).to_str().unwrap()), err.message);
        let number: u16 = entry!(=> panic!("on purpose"));
        assert_eq!(number, 0);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut::<4>("aaä"), [97, 97, 0, 0]);
        assert_eq!(cut::<2>("abc"), [97, 0]);
    }
}
