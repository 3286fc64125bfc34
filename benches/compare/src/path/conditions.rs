//! The delay, jitter and loss of a path, parsed from the command line.

use std::{fmt, str::FromStr, time::Duration};

/// Delay, jitter and loss of each direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// The delay in one direction.
    pub delay: Duration,
    /// The delay of a packet is `delay` plus or minus up to `jitter`, so a packet may overtake another one.
    pub jitter: Duration,
    /// The share of the packets that are lost, from 0 to 1.
    pub loss: f64,
}

impl Conditions {
    /// The longest round trip of a packet that is not lost.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        (self.delay + self.jitter) * 2
    }
}

impl FromStr for Conditions {
    type Err = String;

    /// `DELAY[,jitter=DURATION][,loss=PERCENT%]`
    fn from_str(text: &str) -> Result<Conditions, String> {
        let duration =
            |text: &str| humantime::parse_duration(text).map_err(|error| format!("{text}: {error}"));
        let mut parts = text.split(',');
        let delay = duration(parts.next().unwrap_or_default())?;
        let mut conditions = Conditions { delay, jitter: Duration::ZERO, loss: 0.0 };
        for part in parts {
            match part.split_once('=') {
                Some(("jitter", value)) => conditions.jitter = duration(value)?,
                Some(("loss", value)) => {
                    let percent = value.strip_suffix('%').and_then(|percent| percent.parse::<f64>().ok());
                    let percent = percent.filter(|percent| (0.0..100.0).contains(percent));
                    conditions.loss =
                        percent.ok_or_else(|| format!("{value}: a loss is written as 1%"))? / 100.0;
                }
                _ => return Err(format!("{part}: after the delay, write jitter=DURATION or loss=PERCENT%")),
            }
        }
        if conditions.jitter > conditions.delay {
            return Err("the jitter is greater than the delay".to_owned());
        }
        Ok(conditions)
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.delay))?;
        if !self.jitter.is_zero() {
            write!(f, ",jitter={}", humantime::format_duration(self.jitter))?;
        }
        if self.loss > 0.0 {
            // Rounded, because a percentage is seldom exact as a share.
            write!(f, ",loss={}%", (self.loss * 1e6).round() / 1e4)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Conditions;

    #[test]
    fn conditions_are_written_as_they_are_read() {
        for text in ["25ms", "25ms,jitter=5ms", "25ms,loss=1%", "1s,jitter=1ms,loss=0.5%"] {
            assert_eq!(text.parse::<Conditions>().unwrap().to_string(), text);
        }
        let conditions: Conditions = "25ms,jitter=5ms,loss=1%".parse().unwrap();
        let (delay, jitter) = (Duration::from_millis(25), Duration::from_millis(5));
        assert_eq!(conditions, Conditions { delay, jitter, loss: 0.01 });
    }

    #[test]
    fn conditions_that_make_no_sense_are_errors() {
        for text in
            ["", "25", "25ms,5ms", "25ms,loss=1", "25ms,loss=100%", "25ms,loss=NaN%", "1ms,jitter=2ms"]
        {
            assert!(text.parse::<Conditions>().is_err(), "{text}");
        }
    }
}
