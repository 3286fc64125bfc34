//! The Date field's value, rendered at most once a second and only when something is served (RFC 9110 section 6.6.1).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Length of an IMF-fixdate.
const LENGTH: usize = 29;

#[derive(Debug)]
pub(crate) struct Date {
    text: [u8; LENGTH],
    valid_until: Option<Instant>,
}

impl Date {
    pub(crate) fn new() -> Date {
        Date { text: [b' '; LENGTH], valid_until: None }
    }

    /// The date at `now`.
    pub(crate) fn at(&mut self, now: Instant) -> &[u8] {
        if self.valid_until.is_none_or(|until| until <= now) {
            let wall = SystemTime::now();
            let text = httpdate::fmt_http_date(wall);
            self.text.copy_from_slice(&text.as_bytes()[..LENGTH]);
            let since_second = wall.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
            self.valid_until = Some(now + Duration::from_nanos(u64::from(1_000_000_000 - since_second)));
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_rendered_once_a_second_and_then_anew() {
        let mut date = Date::new();
        let now = Instant::now();
        let first = httpdate::parse_http_date(std::str::from_utf8(date.at(now)).unwrap()).unwrap();
        assert!(SystemTime::now().duration_since(first).unwrap() < Duration::from_secs(60));
        let until = date.valid_until.unwrap();
        assert!(until > now && until <= now + Duration::from_secs(1));
        date.text = [b'x'; LENGTH];
        assert_eq!(date.at(now), [b'x'; LENGTH], "still valid: not rendered");
        assert_ne!(date.at(until), [b'x'; LENGTH], "over: rendered");
    }
}
