//! Definitions that are kept in the store, as plain data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Kinds of definition that are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionKind {
    /// A whole project file, stored by `syncline apply`; the name is empty.
    Project,
    /// One sync, in the form of its value under `syncs`.
    Sync,
    /// One chain, in the form of its value under `chains`.
    Chain,
}

impl DefinitionKind {
    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Sync => "sync",
            Self::Chain => "chain",
        }
    }

    /// Reads [`DefinitionKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Project, Self::Sync, Self::Chain].into_iter().find(|k| k.as_str() == text)
    }
}

/// A version of a definition to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDefinition {
    /// What kind.
    pub kind: DefinitionKind,
    /// Its name.
    pub name: String,
    /// Its text, variables not filled in; `None` removes it.
    pub body: Option<String>,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A stored version of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// 1, 2, 3 … within kind and name.
    pub version: u64,
    /// What was stored.
    pub stored: NewDefinition,
}
