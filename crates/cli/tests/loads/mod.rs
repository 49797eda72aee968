//! What loads between two PostgreSQL databases must survive, through the real binary. The databases are on the throwaway
//! server of `scripts/with-postgres`; what needs a server that dies, fills up or refuses has one of its own.

mod append;
mod changing;
mod connections;
mod failpoints;
mod full_disk;
mod guard;
mod kill;
mod kit;
mod locks;
mod names;
mod parts;
mod replace;
mod schema;
pub(crate) mod server;
mod stored;
mod unfit;
