//! The requests and responses of a listener for metrics.

use daytime::protocol::http::{Page, REQUEST_MAX, Request, Status};
use proptest::prelude::*;

use crate::properties::cases;

fn get(page: Page) -> Option<Request> {
    Some(Request { head: false, page: Ok(page) })
}

fn error(status: Status) -> Option<Request> {
    Some(Request { head: false, page: Err(status) })
}

#[test]
fn each_request_has_its_page_or_its_error() {
    let fields = |n: usize| (0..n).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let head = |page| Some(Request { head: true, page });
    for (request, expected) in [
        ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", get(Page::Metrics)),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", get(Page::Healthz)),
        ("GET /readyz HTTP/1.1\r\nHOST:\r\n\r\n", get(Page::Readyz)),
        ("GET /metrics HTTP/1.0\r\n\r\n", get(Page::Metrics)),
        ("GET /metrics HTTP/1.0\n\n", get(Page::Metrics)),
        ("\r\nGET /metrics HTTP/1.0\r\n\r\n", get(Page::Metrics)),
        ("GET /metrics?name=a&name=b HTTP/1.0\r\n\r\n", get(Page::Metrics)),
        ("GET http://a:9991/metrics?x HTTP/1.0\r\n\r\n", get(Page::Metrics)),
        ("HEAD /metrics HTTP/1.0\r\n\r\n", head(Ok(Page::Metrics))),
        ("HEAD /nothing HTTP/1.0\r\n\r\n", head(Err(Status::NotFound))),
        ("HEAD /metrics HTTP/1.1\r\n\r\n", head(Err(Status::BadRequest))),
        // A second request, or a body, is ignored.
        ("GET /metrics HTTP/1.0\r\n\r\nGET /nothing HTTP/9\r\n\r\n", get(Page::Metrics)),
        ("GET /healthz HTTP/1.0\r\nContent-Length: 3\r\n\r\n\0\0\0", get(Page::Healthz)),
        ("GET / HTTP/1.0\r\n\r\n", error(Status::NotFound)),
        ("GET /metrics/ HTTP/1.0\r\n\r\n", error(Status::NotFound)),
        ("GET /Metrics HTTP/1.0\r\n\r\n", error(Status::NotFound)),
        ("GET metrics HTTP/1.0\r\n\r\n", error(Status::NotFound)),
        ("GET http://a HTTP/1.0\r\n\r\n", error(Status::NotFound)),
        ("GET /x?http://a/metrics HTTP/1.0\r\n\r\n", error(Status::NotFound)),
        ("OPTIONS * HTTP/1.0\r\n\r\n", error(Status::NotFound)),
        ("POST /nothing HTTP/1.0\r\n\r\n", error(Status::NotFound)),
        ("POST /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\n", error(Status::MethodNotAllowed)),
        ("get /metrics HTTP/1.0\r\n\r\n", error(Status::MethodNotAllowed)),
        // RFC 9112, section 3.2.
        ("GET /metrics HTTP/1.1\r\n\r\n", error(Status::BadRequest)),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", error(Status::BadRequest)),
        // Clients of the text protocol, of TLS, of HTTP/0.9 and of HTTP/2.
        ("day\n", error(Status::BadRequest)),
        ("time Asia/Tokyo\n", error(Status::BadRequest)),
        ("\u{16}\u{3}\u{1}", error(Status::BadRequest)),
        ("GET /metrics\r\n", error(Status::BadRequest)),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", error(Status::BadRequest)),
        ("GET /metrics HTTP/1.0\r\nno colon\r\n\r\n", error(Status::BadRequest)),
        ("GET /metrics HTTP/1.0\r\na: \0\r\n\r\n", error(Status::BadRequest)),
        (&*format!("GET /metrics HTTP/1.0\r\n{}\r\n", fields(32)), get(Page::Metrics)),
        (&*format!("GET /metrics HTTP/1.0\r\n{}\r\n", fields(33)), error(Status::HeadersTooLarge)),
        (&*format!("HEAD /metrics HTTP/1.0\r\n{}\r\n", fields(33)), head(Err(Status::HeadersTooLarge))),
        // More is needed.
        ("", None),
        ("day", None),
        ("GET /metrics HTTP/1.0\r\n", None),
        ("GET /metrics HTTP/1.0\r\na: b\r\n", None),
    ] {
        assert_eq!(Request::parse(request.as_bytes()), expected, "{request:?}");
    }
}

#[test]
fn a_request_has_at_most_4096_bytes() {
    let sized = |size: usize| {
        let (start, end) = ("GET /metrics HTTP/1.0\r\nx: ", "\r\n\r\n");
        format!("{start}{}{end}", "y".repeat(size - start.len() - end.len()))
    };
    assert_eq!(Request::parse(sized(REQUEST_MAX).as_bytes()), get(Page::Metrics));
    assert_eq!(Request::parse(sized(REQUEST_MAX + 1).as_bytes()), error(Status::HeadersTooLarge));
    assert_eq!(Request::parse(&sized(REQUEST_MAX).as_bytes()[..REQUEST_MAX - 1]), None);
    for endless in ["y", "GET /", "GET / HTTP/1.0\r\nx: "] {
        let endless = endless.to_owned() + &"y".repeat(REQUEST_MAX - endless.len());
        assert_eq!(Request::parse(endless.as_bytes()), error(Status::HeadersTooLarge));
    }
    assert_eq!(Request::parse(&[b'\n'; REQUEST_MAX]), error(Status::HeadersTooLarge));
}

#[test]
fn the_response_is_exact() {
    let ready = |page| (if page == Page::Readyz { Status::Unavailable } else { Status::Ok }, "text\n".to_owned());
    let plain = "Content-Type: text/plain; charset=utf-8\r\n";
    for (head, page, expected) in [
        (
            false,
            Ok(Page::Metrics),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 5\r\n\
             Connection: close\r\n\r\ntext\n"
                .to_owned(),
        ),
        (true, Ok(Page::Healthz), format!("HTTP/1.1 200 OK\r\n{plain}Content-Length: 5\r\nConnection: close\r\n\r\n")),
        (
            false,
            Ok(Page::Readyz),
            format!("HTTP/1.1 503 Service Unavailable\r\n{plain}Content-Length: 5\r\nConnection: close\r\n\r\ntext\n"),
        ),
        (
            false,
            Err(Status::MethodNotAllowed),
            format!(
                "HTTP/1.1 405 Method Not Allowed\r\n{plain}Content-Length: 19\r\nAllow: GET, HEAD\r\n\
                 Connection: close\r\n\r\nMethod Not Allowed\n"
            ),
        ),
        (
            true,
            Err(Status::NotFound),
            format!("HTTP/1.1 404 Not Found\r\n{plain}Content-Length: 10\r\nConnection: close\r\n\r\n"),
        ),
    ] {
        let response = Request { head, page }.respond(ready);
        assert_eq!(String::from_utf8(response).unwrap(), expected);
    }
}

/// Bytes that look like a request, or do not.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET ".to_vec()),
        Just(b"HEAD /metrics HTTP/1.1\r\n".to_vec()),
        Just(b"/readyz".to_vec()),
        Just(b" HTTP/1.0".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(vec![b'x'; 1000]),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn the_segmentation_of_a_request_does_not_matter(input in bytes()) {
        // Once a prefix has an answer, more bytes do not change it: the server answers as soon as it can.
        let mut answered = None;
        for end in 0..=input.len() {
            let parsed = Request::parse(&input[..end]);
            if let Some(answered) = answered {
                prop_assert_eq!(parsed, Some(answered), "{} of {:?}", end, input.escape_ascii().to_string());
            }
            answered = answered.or(parsed);
            prop_assert!(answered.is_some() || end < REQUEST_MAX);
        }
    }

    #[test]
    fn every_response_is_complete(input in bytes(), text in "[a-z\n]{0,40}") {
        let Some(request) = Request::parse(&input) else { return Ok(()) };
        let response = String::from_utf8(request.respond(|_| (Status::Ok, text))).unwrap();
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut parsed = httparse::Response::new(&mut headers);
        let size = parsed.parse(response.as_bytes()).unwrap().unwrap();
        let length = parsed.headers.iter().find(|header| header.name == "Content-Length").unwrap();
        let length: usize = std::str::from_utf8(length.value).unwrap().parse().unwrap();
        prop_assert_eq!(response.len() - size, if request.head { 0 } else { length });
    }
}
