//! A Postfix that is asked and never started: its programs read these folders, no daemon does.

use std::os::unix::fs::chown;
use std::path::Path;

use act::postfix::Table;

/// Writes `postfix` (configuration), `spool` and empty tables beside `hold_file`; false: no Postfix is installed.
pub fn configure(folder: &Path, hold_file: &Path) -> bool {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let id = |line: &str| line.strip_prefix("postfix:x:")?.split(':').next()?.parse().ok();
    let Some(user) = users.lines().find_map(id) else { return false };
    let show = folder.display();
    for queue in ["hold", "incoming", "active", "deferred", "maildrop", "pid"] {
        std::fs::create_dir_all(folder.join("spool").join(queue)).unwrap();
        chown(folder.join("spool").join(queue), Some(user), None).unwrap();
    }
    std::fs::create_dir(folder.join("postfix")).unwrap();
    Table::ALL.iter().for_each(|table| std::fs::write(table.path(hold_file), "").unwrap());
    let ours: String = Table::ALL.map(|table| format!("{} = {}\n", table.parameter(), table.entry(hold_file))).concat();
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {show}/spool\ndata_directory = {show}/spool\n\
         enable_long_queue_ids = yes\nhash_queue_names = incoming\nsmtpd_sasl_auth_enable = yes\nmyhostname = web01.test\n{ours}"
    );
    std::fs::write(folder.join("postfix/main.cf"), main).unwrap();
    std::fs::write(folder.join("postfix/master.cf"), "smtp inet n - n - - smtpd\n").unwrap();
    true
}
