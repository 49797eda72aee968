//! The `sharepoint` destination.
