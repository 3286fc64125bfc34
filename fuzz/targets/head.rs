//! Arbitrary bytes as the beginning of a connection. Read at once or byte by byte, they must have the same result.
#![no_main]

use libfuzzer_sys::fuzz_target;
use softstop::Limits;

#[path = "../../tests/http/play.rs"]
mod play;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default().target_bytes(300).header_bytes(500).header_count(20).body_bytes(1000);
    let (whole, bytes) = (play::play_whole(input, &limits), play::play_bytes(input, &limits));
    assert!(play::agree(&whole, &bytes), "{whole:?}, but byte by byte {bytes:?}");
});
