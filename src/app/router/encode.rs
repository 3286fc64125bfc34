//! Patterns in the form in which clients send paths. A path on the wire is ASCII without spaces (RFC 3986, section 3.3),
//! so for `/größe` a client sends `/gr%C3%B6%C3%9Fe`. The router encodes a pattern in the same way when it is added.

use std::borrow::Cow;

use super::error::Problem;
use crate::http::is_path_byte;

/// Encodes the characters of a pattern that cannot stand in a path, except in its parameters. A part that is encoded
/// already stays encoded, with its hexadecimal digits in upper case.
pub(super) fn pattern(text: &str) -> Result<String, Problem> {
    let mut encoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = match character {
            '?' => return Err(Problem::Query),
            '{' | '}' if rest[1..].starts_with(character) => {
                // A doubled brace is a literal one.
                encode(character, &mut encoded);
                2
            }
            '{' => {
                let end = rest.find('}').map_or(rest.len(), |end| end + 1);
                encoded.push_str(&rest[..end]);
                end
            }
            // A closing brace without an opening one. `matchit` refuses it when the pattern is added.
            '}' => {
                encoded.push('}');
                1
            }
            '%' => match rest.as_bytes() {
                [_, high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    encoded.push_str(&rest[..3].to_ascii_uppercase());
                    3
                }
                _ => {
                    encoded.push_str("%25");
                    1
                }
            },
            character => {
                encode(character, &mut encoded);
                character.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    Ok(encoded)
}

fn encode(character: char, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    for &byte in character.encode_utf8(&mut [0; 4]).as_bytes() {
        if is_path_byte(byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte)]);
        }
    }
}

/// A client's path with its hexadecimal digits in upper case, like in patterns (RFC 3986, section 6.2.2.1). The result has
/// the length of `path`, so a position in one is the same position in the other.
pub(super) fn path(path: &str) -> Cow<'_, str> {
    let is_lower = |part: &str| part.bytes().take(2).any(|byte| matches!(byte, b'a'..=b'f'));
    if !path.split('%').skip(1).any(is_lower) {
        return Cow::Borrowed(path);
    }
    let mut parts = path.split('%');
    let mut upper = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        upper.push('%');
        let (digits, rest) = part.split_at(part.len().min(2));
        if digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            upper.push_str(&digits.to_ascii_uppercase());
        } else {
            upper.push_str(digits);
        }
        upper.push_str(rest);
    }
    Cow::Owned(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_encoded_outside_of_their_parameters() {
        let rows = [
            ("/plain/a-b_c.d~e!$&'()*+,;=:@", "/plain/a-b_c.d~e!$&'()*+,;=:@"),
            ("/größe", "/gr%C3%B6%C3%9Fe"),
            ("/gr%c3%b6%C3%9Fe", "/gr%C3%B6%C3%9Fe"),
            ("/a b/\"c\"#[d]|\t", "/a%20b/%22c%22%23%5Bd%5D%7C%09"),
            ("/100%/%4/%zz", "/100%25/%254/%25zz"),
            ("/{größe}/{*der rest}", "/{größe}/{*der rest}"),
            ("/{{literal}}/{name}", "/%7Bliteral%7D/{name}"),
            ("/open{", "/open{"),
            ("/close}", "/close}"),
            ("", ""),
        ];
        for (text, encoded) in rows {
            assert_eq!(pattern(text).unwrap(), encoded, "{text}");
            assert_eq!(pattern(encoded).unwrap(), encoded, "encoded twice");
        }
        assert_eq!(pattern("/search?q={q}"), Err(Problem::Query));
    }

    #[test]
    fn a_path_keeps_its_length() {
        let rows = [
            ("/abc", "/abc"),
            ("/gr%c3%b6%C3%9fe", "/gr%C3%B6%C3%9Fe"),
            ("/%e/%zz/%4g/%", "/%e/%zz/%4g/%"),
            ("%20a%20b", "%20a%20b"),
        ];
        for (text, upper) in rows {
            assert_eq!(path(text), upper);
            assert_eq!(path(text).len(), text.len());
        }
    }
}
