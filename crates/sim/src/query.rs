//! System query options with and without `$`, nested ones separated by `;` (facts §1.6).

use percent_encoding::percent_decode_str;

use crate::answer::Refusal;

/// Which fields of an item an answer shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum FieldsShape {
    /// No `$expand=fields`: no `fields` at all (facts §2.4).
    #[default]
    Absent,
    All,
    Named(Vec<String>),
}

/// Which parts of an item an answer shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) select: Option<Vec<String>>,
    pub(crate) fields: FieldsShape,
}

impl Shape {
    pub(crate) fn shows(&self, property: &str) -> bool {
        self.select.as_ref().is_none_or(|names| names.iter().any(|name| name == property))
    }
}

/// The query options of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) shape: Shape,
    /// `$expand` names other than `fields`.
    pub(crate) expand: Vec<String>,
    pub(crate) filter: Option<String>,
    pub(crate) order_by: Option<String>,
    pub(crate) top: Option<usize>,
    pub(crate) skip_token: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) search: Option<String>,
    pub(crate) skip: bool,
}

impl Query {
    /// Parses the part of a URL after `?`.
    pub(crate) fn parse(raw: &str) -> Result<Self, Refusal> {
        let mut query = Self::default();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value);
            query.set(decode(name).trim_start_matches('$'), value)?;
        }
        Ok(query)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        match name {
            "select" => self.shape.select = Some(names(&value)),
            "expand" => self.set_expand(&value)?,
            "filter" => self.filter = Some(value),
            "orderby" => self.order_by = Some(value),
            "top" => {
                let top = value.parse::<usize>().ok().filter(|top| *top > 0);
                let top = top.ok_or_else(|| {
                    Refusal::invalid(format!("Invalid value '{value}' for $top query option found"))
                        .with_inner("invalidQueryOption")
                })?;
                self.top = Some(top);
            }
            "skiptoken" => self.skip_token = Some(value),
            "token" => self.token = Some(value),
            "search" => self.search = Some(value),
            "skip" => self.skip = true,
            // `$count`, `$format` and the like change nothing here; the service ignores what it does not know.
            _ => {}
        }
        Ok(())
    }

    fn set_expand(&mut self, value: &str) -> Result<(), Refusal> {
        for part in split_outside(value, ',') {
            let part = part.trim();
            let (name, nested) = match part.split_once('(') {
                Some((name, rest)) => (name.trim(), rest.strip_suffix(')')),
                None => (part, None),
            };
            if part.contains('(') && nested.is_none() {
                return Err(Refusal::invalid("Parsing OData Select and Expand failed: unbalanced brackets")
                    .with_inner("invalidQueryOption"));
            }
            if name == "fields" {
                self.shape.fields = FieldsShape::All;
                for option in split_outside(nested.unwrap_or(""), ';') {
                    let (key, value) = option.split_once('=').unwrap_or((option, ""));
                    if key.trim().trim_start_matches('$') == "select" {
                        self.shape.fields = FieldsShape::Named(names(value));
                    }
                }
            } else if !name.is_empty() {
                self.expand.push(name.to_owned());
            }
        }
        Ok(())
    }

    pub(crate) fn expands(&self, name: &str) -> bool {
        self.expand.iter().any(|given| given == name)
    }
}

/// The raw query without the named option, for links that carry every original option (facts §1.5).
pub(crate) fn without_option(raw: &str, option: &str) -> String {
    let kept = raw.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or("");
        !pair.is_empty() && decode(name).trim_start_matches('$') != option
    });
    kept.collect::<Vec<_>>().join("&")
}

/// Percent-decodes; `+` is a blank, as the service's own stack reads it.
fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Splits at `separator` where no bracket is open.
fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let mut depth = 0_i32;
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            c if c == separator && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_work_with_and_without_dollar_and_encoded() {
        for raw in [
            "$expand=fields($select=Title,Status)&$top=2",
            "expand=fields(select=Title,Status)&top=2",
            "%24expand=fields%28%24select%3DTitle%2CStatus%3B%24top%3D1%29&%24top=2",
        ] {
            let query = Query::parse(raw).expect(raw);
            let named = FieldsShape::Named(vec!["Title".into(), "Status".into()]);
            assert_eq!(query.shape.fields, named, "{raw}");
            assert_eq!(query.top, Some(2));
        }
        assert_eq!(without_option("a=1&%24skiptoken=x&$top=2", "skiptoken"), "a=1&$top=2");
    }
}
