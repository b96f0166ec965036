//! (being written)
#![allow(dead_code, unused_imports)]
mod config;
mod setup;
fn main() {}
