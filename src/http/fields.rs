//! Field sections: the field lines of a head or a trailer, and the empty line that ends them.

use httparse::{Error, Status};

use super::{Limits, Refusal};

/// How many lines are parsed at a time. Most requests have no more lines, and a small array costs little to initialise.
const BATCH: usize = 16;

/// Parses the section at the beginning of `input` (RFC 9112 section 5) and calls `field` for every complete line.
/// Returns the section's length, or `None` while it is incomplete.
///
/// The first error in the order of the lines is returned, also if the section is incomplete. So the outcome does not depend on how
/// the network cuts the request into packets.
pub(super) fn parse<'a>(
    input: &'a [u8],
    limits: &Limits,
    mut field: impl FnMut(&'a str, &'a [u8]) -> Result<(), Refusal>,
) -> Result<Option<usize>, Refusal> {
    let section = &input[..input.len().min(limits.header_bytes)];
    let (mut start, mut count) = (0, 0);
    loop {
        let mut lines = [httparse::EMPTY_HEADER; BATCH];
        let outcome = match httparse::parse_headers(&section[start..], &mut lines) {
            Ok(Status::Complete((length, _))) => Ok(Some(start + length)),
            Ok(Status::Partial) => Ok(None),
            Err(error) => Err(error),
        };
        for line in lines.iter().take_while(|line| !line.name.is_empty()) {
            count += 1;
            if count > limits.header_count {
                return Err(Refusal::FIELD_COUNT);
            }
            field(line.name, line.value)?;
            let mut end = line.value.as_ptr().addr() - section.as_ptr().addr() + line.value.len();
            while let b' ' | b'\t' = section[end] {
                end += 1;
            }
            // `httparse` accepts a lone LF as the end of a line, as RFC 9112 section 2.2 allows.
            if section[end] != b'\r' {
                return Err(Refusal::LINE_END);
            }
            start = end + 2;
        }
        match outcome {
            Ok(Some(end)) if section[..end].ends_with(b"\r\n") => return Ok(Some(end)),
            Ok(None) if section.len() < limits.header_bytes => return Ok(None),
            Ok(None) => return Err(Refusal::FIELD_BYTES),
            Err(Error::TooManyHeaders) => {}
            Err(Error::HeaderName) => return Err(Refusal::FIELD_NAME),
            Err(Error::HeaderValue) => return Err(Refusal::FIELD_VALUE),
            Ok(Some(_)) | Err(_) => return Err(Refusal::LINE_END),
        }
    }
}
