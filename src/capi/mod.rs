//! The C face. `include/daytime.h` is made from these files by cbindgen and is the manual; `cargo clib` builds the library.
//!
//! Every exported function is written out, for cbindgen to see, and its body is one [`entry!`]: what C handed in is
//! looked at and taken for what it is ([`Incoming`]), the rest is safe code that cannot unwind into C, and its result
//! becomes the function's ([`Answer`]). A handle is only ever a `&T` here, except where it is freed: two threads in two
//! calls on one handle are normal.

#![allow(non_camel_case_types, unreachable_pub, clippy::enum_variant_names)]

// In the header's order.
mod server;

mod listen;

mod command;

mod client;

mod told;

use std::{
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

/// The version of this header; see daytime_version_number() for the library's.
pub const DAYTIME_VERSION_MAJOR: u32 = 0;
/// See DAYTIME_VERSION_MAJOR.
pub const DAYTIME_VERSION_MINOR: u32 = 1;
/// See DAYTIME_VERSION_MAJOR.
pub const DAYTIME_VERSION_PATCH: u32 = 0;
/// The version as one number that grows, for #if: MAJOR * 1000000 + MINOR * 1000 + PATCH.
pub const DAYTIME_VERSION_NUMBER: u32 = 1000;
/// A buffer of this size holds every reply with its NUL.
pub const DAYTIME_REPLY_MAX: usize = 1024;
/// A buffer of this size holds every address of a listener or a peer with its NUL, but that of a Unix socket whose path
/// has control characters: escapes stand for them.
pub const DAYTIME_ADDR_MAX: usize = 128;

/// What a function returns. It is never taken: parameters are int, of which any value is safe. A number once given keeps
/// its meaning.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum daytime_status {
    /// Done.
    DAYTIME_OK = 0,
    /// An argument is refused: NULL, not UTF-8, out of range. Nothing has changed.
    DAYTIME_ERR_INVALID = -1,
    /// The wrong time or place: a setting after start, a wait inside a handler, any call in a forked child.
    DAYTIME_ERR_STATE = -2,
    /// The system refused; daytime_error.os_error holds errno, or 0 where there is none (a name that does not resolve).
    DAYTIME_ERR_IO = -3,
    /// Not in time. A client that waited for a reply is broken.
    DAYTIME_ERR_TIMEOUT = -4,
    /// The peer closed, or the client is broken by an earlier error, or what was asked for is gone.
    DAYTIME_ERR_CLOSED = -5,
    /// The peer does not speak this protocol.
    DAYTIME_ERR_PROTOCOL = -6,
    /// The server answered with an error line; its words are in daytime_error.message. The client lives.
    DAYTIME_ERR_REFUSED = -7,
    /// The buffer is too small: it holds the beginning, NUL-terminated. The conversation stays in step.
    DAYTIME_ERR_TRUNCATED = -8,
    /// A bug in the library, caught. Free the handle.
    DAYTIME_ERR_PANIC = -9,
}

use daytime_status::*;

const _: () = assert!(DAYTIME_REPLY_MAX == REPLY_MAX + 1);
const _: () = assert!(
    DAYTIME_VERSION_NUMBER == DAYTIME_VERSION_MAJOR * 1_000_000 + DAYTIME_VERSION_MINOR * 1_000 + DAYTIME_VERSION_PATCH
);

/// Why a call failed: yours, on your stack. Written only on failure; this struct never grows.
#[repr(C)]
pub struct daytime_error {
    /// The daytime_status that was returned.
    pub status: c_int,
    /// errno of DAYTIME_ERR_IO, else 0.
    pub os_error: c_int,
    /// Words, NUL-terminated UTF-8, cut where they do not fit.
    pub message: [c_char; 248],
}

/// Called with the user data of a registration exactly once, also where the registration fails: then by that very call,
/// else when no handler can run any more, by daytime_server_free() or on a thread of the server before
/// daytime_server_wait() tells of its end. It must not use the server. In a forked child it is not called for a server
/// that was started.
pub type daytime_free_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The version of the library, such as "0.1.0".
/// Ownership: the library's. Lifetime: for ever. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn daytime_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The version of the library, to be compared with DAYTIME_VERSION_NUMBER.
/// Ownership: none. Lifetime: none. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn daytime_version_number() -> u32 {
    DAYTIME_VERSION_NUMBER
}

/// A status in words; any int has some.
/// Ownership: the library's. Lifetime: for ever. Threads: any. Errors: none, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn daytime_strerror(status: c_int) -> *const c_char {
    words(status).as_ptr()
}

fn words(status: c_int) -> &'static CStr {
    match status {
        0 => c"no error",
        -1 => c"an argument is refused",
        -2 => c"the wrong time or place for this call",
        -3 => c"the system refused",
        -4 => c"not in time",
        -5 => c"the connection is closed",
        -6 => c"the peer does not speak this protocol",
        -7 => c"the server answered with an error",
        -8 => c"the buffer is too small",
        -9 => c"a bug in the library",
        _ => c"an unknown status",
    }
}

/// The body of an exported function, `entry!(err; arguments => body)` or without `err`. Each argument is what C handed
/// in, by name, or `name = (pointer, size)`; the body has what it stands for, and gives a `Result<_, Failure>`.
macro_rules! entry {
    ($err:ident; $($name:ident $(= $pair:expr)?),* => $body:expr) => {{
        let body = || {
            $(
                // SAFETY: that a pointer is NULL or good for what its type says is the caller's duty.
                let $name = unsafe { $crate::capi::Incoming::take($crate::capi::entry!(@ $name $(= $pair)?)) }?;
            )*
            $body
        };
        // SAFETY: the same of `err`.
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

/// Runs a body: errno is left alone, a panic becomes a failure, a failure is told.
///
/// # Safety
/// `err` is NULL or may be written.
unsafe fn guard<A: Answer>(err: *mut daytime_error, body: impl FnOnce() -> Result<A::Good, Failure>) -> A {
    let errno = Errno::last_raw();
    let panicked = |_| Err(Failure::new(DAYTIME_ERR_PANIC, words(-9).to_string_lossy()));
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(panicked);
    if let Err(failure) = &result
        && !err.is_null()
    {
        let told = daytime_error {
            status: failure.status as c_int,
            os_error: failure.os_error,
            message: cut(&failure.message),
        };
        // SAFETY: this function's condition.
        unsafe { err.write(told) };
    }
    Errno::set_raw(errno);
    match result {
        Ok(good) => A::good(good),
        Err(failure) => A::failed(failure.status),
    }
}

/// What an exported function returns.
trait Answer {
    type Good;
    fn good(good: Self::Good) -> Self;
    fn failed(status: daytime_status) -> Self;
}

impl Answer for daytime_status {
    type Good = ();
    fn good((): ()) -> Self {
        DAYTIME_OK
    }
    fn failed(status: daytime_status) -> Self {
        status
    }
}

impl Answer for () {
    type Good = ();
    fn good((): ()) {}
    fn failed(_: daytime_status) {}
}

impl<T> Answer for *const T {
    type Good = *const T;
    fn good(good: *const T) -> Self {
        good
    }
    fn failed(_: daytime_status) -> Self {
        ptr::null()
    }
}

impl<T> Answer for *mut T {
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
        impl Answer for $number {
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
number_answers!(u16 u64);

/// Why an exported function did not do what it is there for.
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
            Error::Protocol(_) => DAYTIME_ERR_PROTOCOL,
            Error::Refused(_) => DAYTIME_ERR_REFUSED,
        };
        let os_error = match &error {
            Error::Io(error, _) if status == DAYTIME_ERR_IO => error.raw_os_error().unwrap_or(0),
            _ => 0,
        };
        Failure { status, os_error, message: error.to_string() }
    }
}

/// What C hands in, and what it is taken for once it was looked at.
trait Incoming {
    type Taken<'a>;

    /// # Safety
    /// A pointer is NULL, or good for what its type says while `'a` lasts.
    unsafe fn take<'a>(self) -> Result<Self::Taken<'a>, Failure>;
}

/// What stands behind a pointer that a function of this library has made.
trait Handle {
    /// The process that made it, `None` where that does not matter.
    fn process(&self) -> Option<u32>;
}

impl<T: Handle + 'static> Incoming for *const T {
    type Taken<'a> = &'a T;

    unsafe fn take<'a>(self) -> Result<&'a T, Failure> {
        // SAFETY: this function's condition.
        let handle = unsafe { self.as_ref() }.ok_or_else(null)?;
        match handle.process() {
            Some(process) if process != process::id() => Err(Failure::state("a handle does not survive fork()")),
            _ => Ok(handle),
        }
    }
}

impl<T: Handle + 'static> Incoming for *mut T {
    type Taken<'a> = &'a T;

    unsafe fn take<'a>(self) -> Result<&'a T, Failure> {
        // SAFETY: this function's condition.
        unsafe { self.cast_const().take() }
    }
}

/// A text of one line.
impl Incoming for *const c_char {
    type Taken<'a> = &'a str;

    unsafe fn take<'a>(self) -> Result<&'a str, Failure> {
        if self.is_null() {
            return Err(null());
        }
        // SAFETY: this function's condition, and it is not NULL.
        let text = unsafe { CStr::from_ptr(self) }.to_str().map_err(|_| Failure::invalid("a text is not UTF-8"))?;
        if text.contains(['\r', '\n']) { Err(Failure::invalid("a text has a line end")) } else { Ok(text) }
    }
}

/// An array of such texts, which may be NULL where it has none.
impl Incoming for (*const *const c_char, usize) {
    type Taken<'a> = Vec<&'a str>;

    unsafe fn take<'a>(self) -> Result<Vec<&'a str>, Failure> {
        let (start, size) = self;
        if start.is_null() && size > 0 {
            return Err(null());
        }
        // SAFETY: there are `size` texts, each of which is as this function's condition says.
        (0..size).map(|i| unsafe { start.add(i).read().take() }).collect()
    }
}

/// A buffer for text.
impl Incoming for (*mut c_char, usize) {
    type Taken<'a> = Buffer<'a>;

    unsafe fn take<'a>(self) -> Result<Buffer<'a>, Failure> {
        let (start, size) = self;
        if start.is_null() || size == 0 {
            return Err(Failure::invalid("a buffer is NULL or has no room for a NUL"));
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
        // SAFETY: the buffer has `size` bytes, which are more than `kept`, and is nobody's but the caller's.
        unsafe {
            ptr::copy_nonoverlapping(text.as_ptr().cast(), self.start, kept);
            self.start.add(kept).write(0);
        }
        if kept == text.len() {
            return Ok(());
        }
        Err(Failure::new(DAYTIME_ERR_TRUNCATED, format!("{} bytes do not fit into {}", text.len() + 1, self.size)))
    }
}

/// A struct of plain numbers and texts without padding, which a later version may lengthen.
trait Growing {}

/// Such a struct, with its size as the caller knows it.
impl<T: Growing + 'static> Incoming for (*mut T, usize) {
    type Taken<'a> = Room<'a, T>;

    unsafe fn take<'a>(self) -> Result<Room<'a, T>, Failure> {
        let (start, size) = self;
        if start.is_null() || size == 0 {
            return Err(Failure::invalid("a struct is NULL or has no size"));
        }
        Ok(Room { start: start.cast(), size, lent: PhantomData })
    }
}

struct Room<'a, T> {
    start: *mut u8,
    size: usize,
    lent: PhantomData<&'a mut T>,
}

impl<T: Growing> Room<'_, T> {
    /// Writes what both sides know and zeroes what only the caller does.
    fn write(self, value: &T) {
        let known = self.size.min(mem::size_of::<T>());
        // SAFETY: there are `size` bytes, nobody's but the caller's, and at least `known` on both sides. Bytes have no
        // alignment.
        unsafe {
            ptr::copy_nonoverlapping(ptr::from_ref(value).cast(), self.start, known);
            self.start.add(known).write_bytes(0, self.size - known);
        }
    }
}

fn null() -> Failure {
    Failure::invalid("an argument is NULL")
}

/// How many bytes of a text fit with a NUL, in whole characters.
fn fitting(text: &str, size: usize) -> usize {
    let mut most = text.len().min(size - 1);
    while !text.is_char_boundary(most) {
        most -= 1;
    }
    most
}

/// As much of a text as fits with its NUL.
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
    fn a_panic_becomes_a_status_and_words() {
        let mut err = daytime_error { status: 0, os_error: 7, message: [1; 248] };
        let told = &raw mut err;
        let status: daytime_status = entry!(told; => panic!("on purpose"));
        assert_eq!((status, err.status, err.os_error), (DAYTIME_ERR_PANIC, -9, 0));
        assert_eq!(cut(words(-9).to_str().unwrap()), err.message);
        let number: u16 = entry!(=> panic!("on purpose"));
        assert_eq!(number, 0);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut::<4>("aaä"), [97, 97, 0, 0]);
        assert_eq!(cut::<2>("abc"), [97, 0]);
    }
}
