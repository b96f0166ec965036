//! Users of the roles: system users without home, shell and password, made once and taken away by `--remove`.

use std::collections::HashMap;
use std::path::Path;

use super::Plan;
use super::program::run;
use super::record::Record;
use crate::config::Config;
use crate::role::rights::{NAMES, Users};

const USERADD: &str = "/usr/sbin/useradd";
const USERDEL: &str = "/usr/sbin/userdel";
/// The only table that useradd(8) writes.
const PASSWD: &str = "/etc/passwd";

/// Plans the users that are missing; where the roles look elsewhere, a person makes them.
pub fn install(config: &Config, plan: &mut Plan) {
    let names = NAMES.iter().map(|(_, name)| *name);
    let missing: Vec<String> = names.filter(|name| !Users::exists(config, name)).map(str::to_owned).collect();
    let passwd = &config.node.passwd.0;
    if passwd == Path::new(PASSWD) {
        plan.users = missing;
    } else if !missing.is_empty() {
        let from = passwd.display();
        plan.notes.push(format!("no {} in {from}; add them there, or the roles keep root's uid", missing.join(", ")));
    }
}

/// Plans to take away those that we made and that are still there.
pub fn removal(config: &Config, record: &Record, plan: &mut Plan) {
    plan.users = record.users.iter().filter(|name| Users::exists(config, name)).cloned().collect();
}

/// Makes them, or takes them away; what was done, and what a person has to do. The gate does not depend on them, so
/// nothing is taken back when it fails.
pub fn carry_out(config: &Config, plan: &Plan, record: &mut Record) -> Vec<String> {
    let mut said = Vec::new();
    for name in &plan.users {
        let (program, arguments) = match plan.removes {
            true => (USERDEL, vec![name.as_str()]),
            false => {
                let fixed = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell"];
                (USERADD, [&fixed[..], &["/usr/sbin/nologin", name]].concat())
            }
        };
        let ended = run(Path::new(program), &arguments, &HashMap::new());
        said.push(match (ended.ok, plan.removes) {
            (true, true) => format!("took away the user {name}"),
            (true, false) => format!("made the user {name}; a `hikeshi serve` that runs takes it when it is restarted"),
            (false, true) => format!("{name} is left: {}; stop `hikeshi serve` and run `userdel {name}`", ended.text),
            (false, false) => format!("{name} is not made, its role keeps root's uid: {}", ended.text),
        });
        if ended.ok && plan.removes {
            record.users.retain(|user| user != name);
        }
    }
    if plan.removes && plan.users.iter().all(|name| !Users::exists(config, name)) {
        record.users.clear();
        let core = config.paths.state.0.join("core");
        // Its uid may be given to somebody else now.
        if core.exists()
            && rustix::process::geteuid().is_root()
            && let Err(e) = sys::dir::give(&core, 0, 0)
        {
            said.push(format!("{} could not be given to root: {e}; chown it", core.display()));
        }
    }
    said
}
