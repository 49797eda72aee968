//! `syncline serve`: the real binary, told to stop, killed, and left with broken files.

mod ops;
