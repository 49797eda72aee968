//! Sites and the lists in them (facts §2.1).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::Refusal;
use crate::chance::Chance;
use crate::column::Column;
use crate::list::List;
use crate::switches::Switches;

/// Lists a site can hold (facts §2.8 \[S\]).
const LISTS_MAX: usize = 2_000;

/// A site to create, as `POST /_sim/sites` takes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SiteSpec {
    /// Server-relative path, such as `/sites/projects`; empty for the root site.
    pub path: String,
    /// Title.
    pub display_name: String,
    /// The Microsoft 365 group whose team site this is.
    pub group_id: Option<String>,
}

/// A list to create, as `POST /_sim/lists` takes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ListSpec {
    /// Path or id of the site; `/sites/projects` when absent.
    pub site: Option<String>,
    /// Title.
    pub display_name: String,
    /// Name in URLs; made from the title when absent.
    pub name: Option<String>,
    /// Description.
    pub description: String,
    /// Columns as Graph `columnDefinition` JSON.
    pub columns: Vec<Value>,
    /// Most items before 507.
    pub max_items: Option<usize>,
    /// Hidden list.
    pub hidden: bool,
    /// System list, shown with a `system` facet.
    pub system: bool,
}

/// A site collection with one web.
#[derive(Debug)]
pub(crate) struct Site {
    /// `{hostname},{site-collection-guid},{web-guid}` (facts §2.1 \[D\]).
    pub(crate) id: String,
    pub(crate) host: String,
    /// `/sites/projects`; empty for the root site.
    pub(crate) path: String,
    pub(crate) display_name: String,
    pub(crate) group_id: Option<String>,
    pub(crate) created_ms: i64,
    pub(crate) lists: Vec<List>,
}

impl Site {
    pub(crate) fn new(host: &str, spec: &SiteSpec, now_ms: i64, chance: &mut Chance) -> Self {
        let path = spec.path.trim_matches('/');
        Self {
            id: format!("{host},{},{}", chance.guid(), chance.guid()),
            host: host.to_owned(),
            path: if path.is_empty() { String::new() } else { format!("/{path}") },
            display_name: spec.display_name.clone(),
            group_id: spec.group_id.clone(),
            created_ms: now_ms,
            lists: Vec::new(),
        }
    }

    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or("")
    }

    pub(crate) fn web_url(&self) -> String {
        format!("https://{}{}", self.host, self.path)
    }

    /// A list by id, or by title or name where a switch allows (facts §2.1 \[K\]).
    pub(crate) fn find_list(&self, key: &str, by_title: bool) -> Option<usize> {
        if let Ok(id) = key.trim_matches(['{', '}']).parse::<uuid::Uuid>() {
            return self.lists.iter().position(|list| list.id == id);
        }
        let same = |name: &str| name.eq_ignore_ascii_case(key);
        by_title.then(|| self.lists.iter().position(|l| same(&l.display_name) || same(&l.name))).flatten()
    }

    /// Creates a list; its title must be new to the site.
    pub(crate) fn create_list(
        &mut self,
        spec: &ListSpec,
        now_ms: i64,
        chance: &mut Chance,
        rules: &Switches,
    ) -> Result<usize, Refusal> {
        if spec.display_name.trim().is_empty() {
            return Err(Refusal::invalid("A list needs a displayName"));
        }
        if self.lists.len() >= LISTS_MAX {
            return Err(Refusal::new(507, "quotaLimitReached", "The site has too many lists"));
        }
        let taken = |list: &List| list.display_name.eq_ignore_ascii_case(&spec.display_name);
        if self.lists.iter().any(taken) {
            return Err(Refusal::new(
                409,
                "nameAlreadyExists",
                "Name already exists: a list, survey, discussion board, or document library with the specified title \
                 already exists in this Web site",
            ));
        }
        let name = spec.name.clone().unwrap_or_else(|| spec.display_name.clone());
        let mut list = List::new(&spec.display_name, &name, now_ms, chance);
        list.description.clone_from(&spec.description);
        list.hidden = spec.hidden;
        list.system = spec.system;
        list.max_items = spec.max_items.unwrap_or(list.max_items);
        for definition in &spec.columns {
            let Some(definition) = definition.as_object() else {
                return Err(Refusal::invalid("A column definition must be an object"));
            };
            // `Title` exists already; naming it adjusts it.
            if let Some(number) = definition
                .get("name")
                .and_then(Value::as_str)
                .filter(|name| *name == "Title")
                .and_then(|name| list.column_number(name))
            {
                let patched = list.column(number).map(|title| title.patched(definition)).transpose()?;
                if let Some(title) = patched {
                    list.change_column(number, title, rules)?;
                }
                continue;
            }
            let column = Column::parse(definition, chance)?;
            list.add_column(column, rules)?;
        }
        self.lists.push(list);
        Ok(self.lists.len() - 1)
    }
}
