//! passwd(5): a uid has one name or none, nothing outside of the range is a tenant, twice read is the same.
#![no_main]

use std::collections::BTreeSet;
use std::path::Path;

use fuzz::lines;
use libfuzzer_sys::fuzz_target;
use sense::inventory::UidRange;
use sense::inventory::files::Reader;
use sense::inventory::passwd::{Passwd, read};

const RANGE: UidRange = UidRange { first: 3000, last: 70_000 };

fn tenants(data: &[u8]) -> Passwd {
    read(Path::new("/etc/passwd"), data, RANGE, &mut Reader::default())
}

fuzz_target!(|data: &[u8]| {
    let passwd = tenants(data);
    let uids: BTreeSet<u32> = passwd.tenants.iter().map(|tenant| tenant.uid).collect();
    let names: BTreeSet<_> = passwd.tenants.iter().map(|tenant| &tenant.name).collect();
    assert_eq!((uids.len(), names.len()), (passwd.tenants.len(), passwd.tenants.len()));
    assert!(uids.iter().all(|uid| RANGE.contains(*uid)));
    assert!(passwd.tenants.iter().all(|tenant| tenant.home.is_absolute()));
    assert!(passwd.tenants.len() as u64 + passwd.bad_lines <= lines(data));
    let again = tenants(data);
    assert_eq!((passwd.tenants, passwd.unclear), (again.tenants, again.unclear));
});
