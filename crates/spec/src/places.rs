//! Where everything stands, by path.

use std::collections::BTreeMap;

use crate::problem::Place;

/// The place of every key and value of a file, by path: `syncs.projects.fields.Title`, `syncs.projects.route[0].when`.
///
/// A name that is not made of letters, digits, `_` and `-` alone is quoted in a path (`syncs."a.b".from`), so two
/// things never have the same path; [`Places::path`] does that.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Key (for an item of a list: the item) and value.
    places: BTreeMap<String, (Place, Place)>,
}

impl Places {
    /// The path of a chain of keys: `["syncs", "projects", "from"]` gives `syncs.projects.from`.
    pub fn path(keys: &[&str]) -> String {
        keys.iter().fold(String::new(), |path, key| child(&path, key))
    }

    /// Where the key stands; when the file does not have it, where the nearest thing around it stands.
    pub fn key(&self, path: &str) -> Place {
        self.nearest(path).map_or(START, |(found, (key, value))| if found == path { key } else { value })
    }

    /// Where the value stands; when the file does not have it, where the nearest thing around it stands.
    pub fn value(&self, path: &str) -> Place {
        self.nearest(path).map_or(START, |(_, (_, value))| value)
    }

    /// Whether the file has it.
    pub fn contains(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    fn nearest<'p>(&self, path: &'p str) -> Option<(&'p str, (Place, Place))> {
        let mut path = path;
        loop {
            if let Some(places) = self.places.get(path) {
                return Some((path, *places));
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    pub(crate) fn insert(&mut self, path: String, key: Place, value: Place) {
        self.places.insert(path, (key, value));
    }
}

/// Where a file starts.
pub(crate) const START: Place = Place { line: 1, column: 1 };

/// Most characters of a key in a path: it stands in messages, and no system's names are longer.
const KEY_CHARS_MAX: usize = 64;

/// The path of a key in the map at `path`.
pub(crate) fn child(path: &str, key: &str) -> String {
    let cut = key.char_indices().nth(KEY_CHARS_MAX).map(|(end, _)| format!("{}…", &key[..end]));
    let key = cut.as_deref().unwrap_or(key);
    let simple = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let dot = if path.is_empty() { "" } else { "." };
    if simple { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}

/// The path of an item in the list at `path`.
pub(crate) fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_found_around() {
        let at = |line| Place { line, column: 1 };
        let mut places = Places::default();
        places.insert("syncs".into(), at(1), at(2));
        places.insert(child("syncs", "a.b"), at(3), at(4));
        assert_eq!(Places::path(&["syncs", "a.b"]), r#"syncs."a.b""#);
        assert_eq!(places.key(r#"syncs."a.b""#), at(3));
        assert_eq!(places.key(r#"syncs."a.b".from"#), at(4));
        assert_eq!(places.value(r#"syncs."x.y".from.key[0]"#), at(2));
        assert_eq!(places.value("other"), START);
    }
}
