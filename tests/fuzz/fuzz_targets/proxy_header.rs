#![no_main]

#[path = "../../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::proxy_header::check(data));
