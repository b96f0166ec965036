//! A configuration of nginx: no site has two owners, a site lies in its owner's home, twice read is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sense::inventory::{Inventory, NginxSource, Sources, UidRange, nginx};

fuzz_target!(|data: &[u8]| {
    let _ = nginx::parse(data);
    let includes = data.windows(7).filter(|part| part.eq_ignore_ascii_case(b"include")).count();
    // What lies on this machine is no part of the input, and a file that includes itself twice takes the reader to its
    // bound of 400,000 includes, which is a second.
    if includes > 1 || includes == 1 && data.contains(&b'/') {
        return;
    }
    let folder = fuzz::folder();
    let (conf, passwd) = (folder.join("nginx.conf"), folder.join("passwd"));
    std::fs::write(&conf, data).expect("written");
    let people = "aoi:x:3001:3001::/home/aoi:/bin/sh\nfuji:x:3002:3002::/home/fuji:/bin/sh\n";
    std::fs::write(&passwd, people).expect("written");
    let sources = Sources {
        passwd: Some(passwd),
        tenant_uids: UidRange { first: 3000, last: 3999 },
        shared_uids: vec![33],
        accounts_dir: None,
        nginx: Some(NginxSource { conf, prefix: "/usr/share/nginx".into() }),
        apache: Vec::new(),
        host_addresses: fuzz::own(),
        time_zone: "UTC".to_owned(),
    };
    let inventory = Inventory::read(&sources);
    bounds(&inventory);
    let again = Inventory::read(&sources);
    assert_eq!(format!("{:?}", inventory.accounts), format!("{:?}", again.accounts));
    assert_eq!(format!("{:?}", inventory.unclear), format!("{:?}", again.unclear));
});

fn bounds(inventory: &Inventory) {
    fuzz::sites(&inventory.accounts);
    assert!(inventory.unclear.len() <= sense::inventory::UNCLEAR_MAX + 1);
}
