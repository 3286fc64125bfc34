//! The character classes of RFC 9110 and RFC 3986, as one table, and the two ways in which field values are cut.

/// RFC 9110 section 5.6.2: what tokens, such as methods and field names, are made of.
pub(super) const TOKEN: u8 = 1;
/// RFC 3986 section 3.3: `pchar` and the slash.
pub(super) const PATH: u8 = 1 << 1;
/// RFC 3986 section 3.4, and what browsers send in queries without encoding it.
pub(super) const QUERY: u8 = 1 << 2;
/// RFC 3986 section 3.2: what a target may hold besides [`PATH`] while it can still be an authority.
pub(super) const BRACKET: u8 = 1 << 3;
/// RFC 3986 section 3.2.2: unreserved and sub-delims, the literal characters of a registered name.
pub(super) const NAME: u8 = 1 << 4;

const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = TOKEN | PATH | QUERY | NAME;
        }
        byte += 1;
    }
    table = with(table, b"!#$%&'*+-.^_`|~", TOKEN);
    table = with(table, b"-._~!$&'()*+,;=", PATH | QUERY | NAME);
    table = with(table, b":@/%", PATH | QUERY);
    // The URL standard of browsers encodes none of `\ ^ { | } [ ]` and the backtick in a query, and RFC 3986 none
    // but the question mark. The quote and the angle brackets complete the set: they are as harmless, since nothing
    // that a query holds can end the request line.
    table = with(table, b"?\\^`{|}[]\"<>", QUERY);
    with(table, b"[]", BRACKET)
};

const fn with(mut table: [u8; 256], bytes: &[u8], class: u8) -> [u8; 256] {
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] |= class;
        at += 1;
    }
    table
}

/// Whether the byte is in one of the classes.
pub(super) const fn is(byte: u8, classes: u8) -> bool {
    CLASSES[byte as usize] & classes != 0
}

/// Whether the byte may stand in the path of a request. Any other one is percent-encoded there.
pub(crate) fn is_path_byte(byte: u8) -> bool {
    is(byte, PATH)
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is(byte, TOKEN))
}

/// The members of a list, empty ones included (RFC 9110 section 5.6.1).
pub(super) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(trim)
}

/// Cuts optional white space (RFC 9110 section 5.6.3), which is narrower than what Rust calls ASCII white space.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
