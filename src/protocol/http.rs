//! The HTTP of a listener for metrics: three pages, one request a connection.
//!
//! It is what a scraper and a prober need of RFC 9110 and RFC 9112, and not a web server. Whatever follows the first request
//! is ignored, a body too, and the server closes after its response.

use httparse::{EMPTY_HEADER, Error, Status as Progress};

/// The most bytes of a request, up to its empty line.
pub const REQUEST_MAX: usize = 4096;
/// The most header fields of a request.
const HEADERS_MAX: usize = 32;

/// A page of the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/metrics`: the counters.
    Metrics,
    /// `/healthz`: whether the server works.
    Healthz,
    /// `/readyz`: whether it accepts clients.
    Readyz,
}

/// The status of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok = 200,
    /// 400: it is not HTTP/1.0 or HTTP/1.1.
    BadRequest = 400,
    /// 404: there is not such a page.
    NotFound = 404,
    /// 405: the method is neither GET nor HEAD.
    MethodNotAllowed = 405,
    /// 431: the request has more than [`REQUEST_MAX`] bytes or 32 header fields.
    HeadersTooLarge = 431,
    /// 503: the server accepts no clients now.
    Unavailable = 503,
}

impl Status {
    fn phrase(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::BadRequest => "Bad Request",
            Status::NotFound => "Not Found",
            Status::MethodNotAllowed => "Method Not Allowed",
            Status::HeadersTooLarge => "Request Header Fields Too Large",
            Status::Unavailable => "Service Unavailable",
        }
    }
}

/// A request, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method is HEAD: the response has no body.
    pub head: bool,
    /// The page, or the status of the error.
    pub page: Result<Page, Status>,
}

impl Request {
    /// The request at the start of `input`. `None` if more bytes are needed, which is never so for [`REQUEST_MAX`] bytes.
    #[must_use]
    pub fn parse(input: &[u8]) -> Option<Request> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        // A longer request is an error, whatever follows.
        let progress = parsed.parse(&input[..input.len().min(REQUEST_MAX)]);
        let head = parsed.method == Some("HEAD");
        let page = match progress {
            Ok(Progress::Partial) if input.len() < REQUEST_MAX => return None,
            Ok(Progress::Complete(_)) => page(&parsed),
            Ok(Progress::Partial) | Err(Error::TooManyHeaders) => Err(Status::HeadersTooLarge),
            Err(_) => Err(Status::BadRequest),
        };
        Some(Request { head, page })
    }

    /// The response. `answer` has the status and the text of a page.
    pub fn respond(self, answer: impl FnOnce(Page) -> (Status, String)) -> Vec<u8> {
        let (status, text) = match self.page {
            Ok(page) => answer(page),
            Err(status) => (status, format!("{}\n", status.phrase())),
        };
        // Prometheus 3 fails a scrape without this version.
        let version = if self.page == Ok(Page::Metrics) { " version=0.0.4;" } else { "" };
        let allow = if status == Status::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
        let (code, phrase, size) = (status as u16, status.phrase(), text.len());
        let mut response = format!(
            "HTTP/1.1 {code} {phrase}\r\nContent-Type: text/plain;{version} charset=utf-8\r\n\
             Content-Length: {size}\r\n{allow}Connection: close\r\n\r\n"
        );
        if !self.head {
            response.push_str(&text);
        }
        response.into_bytes()
    }
}

fn page(request: &httparse::Request<'_, '_>) -> Result<Page, Status> {
    // RFC 9112, section 3.2: a request of HTTP/1.1 has exactly one field Host, and that of HTTP/1.0 at most one.
    let hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host")).count();
    if hosts > 1 || (hosts == 0 && request.version == Some(1)) {
        return Err(Status::BadRequest);
    }
    let page = match path(request.path.unwrap_or_default()) {
        "/metrics" => Page::Metrics,
        "/healthz" => Page::Healthz,
        "/readyz" => Page::Readyz,
        _ => return Err(Status::NotFound),
    };
    match request.method {
        Some("GET" | "HEAD") => Ok(page),
        _ => Err(Status::MethodNotAllowed),
    }
}

/// The path of a target, which is `PATH?QUERY` or `http://HOST/PATH?QUERY` (RFC 9112, section 3.2).
fn path(target: &str) -> &str {
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    };
    target.split('?').next().unwrap_or_default()
}
