//! The chunked transfer coding (RFC 9112 section 7.1), decoded byte by byte.
//!
//! ```text
//!              +-- ";" --> Extension --+
//!   Size ------+                       +-- CR --> SizeEnd -- LF --> Data ---> DataEnd
//!    ^         +-----------------------+             |                           |
//!    |                                               | the size is zero          |
//!    +----------------------------- CR LF -----------|---------------------------+
//!                                                    +------> Trailer ---> the end
//! ```

use super::body::take;
use super::grammar::{self, TOKEN};
use super::scan::Scan;
use super::{Event, Limits, Received, Refusal, fields};

/// The most digits of one chunk size. Sixteen digits fill 64 bits, and a size may begin with zeros (RFC 9112 section 7.1). As many
/// zeros as digits are more than any client needs.
const SIZE_DIGITS: u8 = 32;

/// The most bytes of all chunk extensions of one message. RFC 9112 section 7.1.1 asks for such a bound.
const EXTENSION_BYTES: u16 = 16 * 1024;

/// The state of the decoder of one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunked {
    position: Position,
    /// The bytes of content that the limit still allows.
    allowance: u64,
    extension_bytes: u16,
}

#[derive(Debug, Clone, Copy)]
enum Position {
    Size { digits: u8, size: u64 },
    Extension { part: Extension, size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataEnd(LineEnd),
    Trailer(Scan),
}

/// The byte of a line's end that comes next.
#[derive(Debug, Clone, Copy)]
enum LineEnd {
    CarriageReturn,
    LineFeed,
}

/// A part of `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
#[derive(Debug, Clone, Copy)]
enum Extension {
    /// White space, behind which a semicolon has to stand.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// White space behind a name. A semicolon or an equals sign may follow.
    AfterName,
    BeforeValue,
    Token,
    Quoted,
    QuotedPair,
    AfterQuoted,
}

impl Extension {
    /// The part that `byte` belongs to.
    fn next(self, byte: u8) -> Option<Self> {
        use Extension::*;
        match (self, byte) {
            (BeforeSemicolon | AfterName | AfterQuoted | Name | Token, b';') => Some(BeforeName),
            (BeforeSemicolon | AfterQuoted | Token, b' ' | b'\t') => Some(BeforeSemicolon),
            (BeforeName | BeforeValue, b' ' | b'\t') => Some(self),
            (Name | AfterName, b' ' | b'\t') => Some(AfterName),
            (Name | AfterName, b'=') => Some(BeforeValue),
            (BeforeName | Name, _) if grammar::is(byte, TOKEN) => Some(Name),
            (BeforeValue | Token, _) if grammar::is(byte, TOKEN) => Some(Token),
            (BeforeValue, b'"') => Some(Quoted),
            (Quoted, b'"') => Some(AfterQuoted),
            (Quoted, b'\\') => Some(QuotedPair),
            // RFC 9110 section 5.6.4: tabs, and each byte that is no control character.
            (Quoted | QuotedPair, _) if byte == b'\t' || !byte.is_ascii_control() => Some(Quoted),
            _ => None,
        }
    }

    /// Whether the size line may end behind this part.
    fn may_end(self) -> bool {
        matches!(self, Extension::Name | Extension::Token | Extension::AfterQuoted)
    }
}

impl Chunked {
    pub(super) fn new(limit: u64) -> Self {
        Chunked { position: Position::Size { digits: 0, size: 0 }, allowance: limit, extension_bytes: 0 }
    }

    /// Takes one step: up to the end of the next data, of the message, or of the input. A trailer section is consumed, and
    /// discarded, only once it is complete.
    pub(super) fn receive(&mut self, input: &[u8], limits: &Limits) -> Result<Received, Refusal> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match &mut self.position {
                Position::Data { left } => {
                    let end = at + take(left, &input[at..]);
                    if *left == 0 {
                        self.position = Position::DataEnd(LineEnd::CarriageReturn);
                    }
                    return Ok(Received { consumed: end, event: Event::Data(at..end) });
                }
                Position::Trailer(scan) => {
                    let Some(length) = trailer(&input[at..], scan, limits)? else { break };
                    return Ok(Received { consumed: at + length, event: Event::End });
                }
                _ => {
                    self.position = self.advance(byte)?;
                    at += 1;
                }
            }
        }
        Ok(Received { consumed: at, event: Event::NeedInput })
    }

    /// The position behind a byte that belongs to the coding, not to the data.
    fn advance(&mut self, byte: u8) -> Result<Position, Refusal> {
        match (self.position, byte) {
            (Position::Size { digits: 1.., size }, b'\r') => Ok(Position::SizeEnd { size }),
            (Position::Size { digits: 1.., size }, b';' | b' ' | b'\t') => {
                self.extension(Extension::BeforeSemicolon, byte, size)
            }
            (Position::Size { digits: digits @ 0..SIZE_DIGITS, size }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Refusal::CHUNK_SIZE)?;
                let size = size.checked_mul(16).ok_or(Refusal::CHUNK_SIZE)? + u64::from(digit);
                Ok(Position::Size { digits: digits + 1, size })
            }
            (Position::Size { .. }, _) => Err(Refusal::CHUNK_SIZE),
            (Position::Extension { part, size }, b'\r') if part.may_end() => Ok(Position::SizeEnd { size }),
            (Position::Extension { part, size }, _) => self.extension(part, byte, size),
            (Position::SizeEnd { size: 0 }, b'\n') => Ok(Position::Trailer(Scan::START)),
            (Position::SizeEnd { size }, b'\n') => {
                self.allowance = self.allowance.checked_sub(size).ok_or(Refusal::CONTENT_BYTES)?;
                Ok(Position::Data { left: size })
            }
            (Position::DataEnd(LineEnd::CarriageReturn), b'\r') => Ok(Position::DataEnd(LineEnd::LineFeed)),
            (Position::DataEnd(LineEnd::LineFeed), b'\n') => Ok(Position::Size { digits: 0, size: 0 }),
            (Position::SizeEnd { .. } | Position::DataEnd(_), _) => Err(Refusal::CHUNK_END),
            // `receive` deals with these two itself.
            (Position::Data { .. } | Position::Trailer(_), _) => Ok(self.position),
        }
    }

    fn extension(&mut self, part: Extension, byte: u8, size: u64) -> Result<Position, Refusal> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES {
            return Err(Refusal::CHUNK_EXTENSION_BYTES);
        }
        let part = part.next(byte).ok_or(Refusal::CHUNK_EXTENSION)?;
        Ok(Position::Extension { part, size })
    }
}

/// Parses a trailer section, which is a field section like that of the head (RFC 9112 section 7.1.2). The fields are ignored (RFC
/// 9110 section 6.5.1). Returns the length of the section once it is complete.
fn trailer(section: &[u8], scan: &mut Scan, limits: &Limits) -> Result<Option<usize>, Refusal> {
    if !scan.is_due(section) {
        return Ok(None);
    }
    let length = fields::parse(section, limits, |_, _| Ok(()))?;
    *scan = Scan::incomplete(section.len(), limits.header_bytes);
    Ok(length)
}
