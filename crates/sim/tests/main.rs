//! Independent checks of the simulator, by raw HTTP.
