//! Speaks with people: letters, check reports, mail out, and looks from outside at the sites.
//!
//! Knows the words and the wire, decides nothing and reads neither the store nor the files of a tenant. Each word
//! means what `GLOSSARY.md` says.

#![forbid(unsafe_code)]

pub mod certificate;
pub mod letter;
pub mod mail;
pub mod probe;
pub mod serve;
pub mod sink;
pub mod why;
pub mod words;
