//! The character classes of RFC 9110 and RFC 3986, as one table, and how the value of a field is split.

/// RFC 9110 section 5.6.2: the characters of a token, such as a method or a field name.
pub(super) const TOKEN: u8 = 1;
/// RFC 3986 section 3.3: `pchar` and the slash.
pub(super) const PATH: u8 = 1 << 1;
/// RFC 3986 section 3.4, and the characters that browsers send in queries without encoding them.
pub(super) const QUERY: u8 = 1 << 2;
/// RFC 3986 section 3.2: the brackets of an IP literal. A target may hold them besides [`PATH`] where an authority may stand.
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
    // RFC 3986 allows the question mark in a query. The URL standard has browsers send `\ ^ { | } [ ]` and the backtick without
    // encoding them. The quote and the angle brackets are allowed too: no character of a query can end the request line.
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

/// Whether the byte may stand in the path of a request without being percent-encoded.
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

/// Removes optional white space (RFC 9110 section 5.6.3): spaces and tabs, not all of the ASCII white space of Rust.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
