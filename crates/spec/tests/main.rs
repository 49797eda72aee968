//! Project files as people write them, and as they should not.

mod good_projects;
mod world;
