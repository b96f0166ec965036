//! Files of `accounts.d` and inventories: what is accepted has one name and uid each, within the range.
#![no_main]

use std::collections::BTreeSet;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sense::inventory::{Inventory, accounts};

fuzz_target!(|data: &[u8]| {
    if let Err(error) = accounts::parse(Path::new("x.toml"), data) {
        let text = error.to_string();
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    let path = fuzz::folder().join("inventory.toml");
    std::fs::write(&path, data).expect("written");
    let Ok(inventory) = Inventory::from_file(&path) else { return };
    let uids: BTreeSet<u32> = inventory.accounts.iter().map(|entry| entry.account.uid).collect();
    let names: BTreeSet<_> = inventory.accounts.iter().map(|entry| &entry.account.name).collect();
    assert_eq!((uids.len(), names.len()), (inventory.accounts.len(), inventory.accounts.len()));
    assert!(uids.iter().all(|uid| inventory.node.tenant_uids.contains(*uid)));
    assert!(inventory.accounts.iter().all(|entry| entry.home.starts_with('/')));
    let again = Inventory::from_file(&path).expect("read before");
    assert_eq!(format!("{:?}", inventory.accounts), format!("{:?}", again.accounts));
});
