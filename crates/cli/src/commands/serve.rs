//! `syncline serve`
