//! The configuration file as TOML text, and its annotated example.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// The output of `--example-config`.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) routes: Routes,
    pub(super) judging: Judging,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Server {
    pub(super) command: Vec<String>,
    pub(super) url: Option<String>,
    pub(super) says: Option<String>,
    pub(super) signal: Option<String>,
    pub(super) stop_command: Option<String>,
    pub(super) pid_file: Option<String>,
    pub(super) replace: Option<String>,
    #[serde(deserialize_with = "duration")]
    pub(super) lame_duck: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(super) start_within: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(super) patience: Option<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Routes {
    pub(super) ready: Option<String>,
    pub(super) slow: Option<String>,
    pub(super) stream: Option<String>,
    pub(super) large: Option<String>,
    pub(super) post: Option<String>,
    pub(super) upgrade: Option<String>,
    pub(super) stuck: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Judging {
    pub(super) stops: Option<u16>,
    pub(super) until_certain: bool,
    pub(super) balancer: bool,
    pub(super) clients: Option<u16>,
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map(Some).map_err(D::Error::custom)
}

pub(super) fn parse(text: &str) -> Result<File, toml::de::Error> {
    toml::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_valid_with_and_without_its_comments() {
        parse(EXAMPLE).unwrap();
        let lines = EXAMPLE.lines().map(|line| {
            let option = line.strip_prefix("# ").filter(|rest| {
                rest.split_once(" = ").is_some_and(|(name, _)| {
                    name.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase())
                })
            });
            option.unwrap_or(line)
        });
        let all = lines.collect::<Vec<_>>().join("\n");
        let file = parse(&all).unwrap();
        assert!(file.server.says.is_some() && file.routes.stuck.is_some() && file.judging.stops.is_some());
        assert!(parse("[routes]\nsolw = '/x'").is_err(), "a misspelt option is an error");
    }
}
