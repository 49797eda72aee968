//! The files users write: YAML to typed definitions, with every error and its place.
