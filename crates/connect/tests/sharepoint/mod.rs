//! The `sharepoint` destination against the simulator, over real HTTP.

mod conforms;
mod kit;
mod scripted;
mod signs_in;
mod survives;
