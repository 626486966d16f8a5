//! `name=value` arguments.

use std::collections::HashMap;
use std::str::FromStr;

pub(crate) struct Args(HashMap<String, String>);

impl Args {
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let pair = |w: String| match w.split_once('=') {
            Some((k, v)) => Ok((k.to_owned(), v.to_owned())),
            None => Err(format!("{w}: expected name=value")),
        };
        words.map(pair).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn get<T: FromStr>(&self, name: &str) -> Result<T, String> {
        let value = self.0.get(name).ok_or_else(|| format!("{name}= is missing"))?;
        value.parse().map_err(|_| format!("{name}={value} is not valid"))
    }

    pub(crate) fn or<T: FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        if self.0.contains_key(name) { self.get(name) } else { Ok(default) }
    }
}
