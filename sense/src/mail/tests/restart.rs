//! Restarts at any line, verification and learning: with a real file that grows.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A log in a folder that goes away.
struct Spool(PathBuf);
impl Spool {
    fn new(name: &str, text: &str) -> Spool {
        let folder = std::env::temp_dir().join(format!("mail-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("mail.log"), text).unwrap();
        Spool(folder)
    }
    fn path(&self) -> String {
        self.0.join("mail.log").to_string_lossy().into_owned()
    }
    fn watch(&self, cursor: Option<Cursor>, now: i64) -> Watch {
        let mut watch = Watch::follow(&self.path(), cursor, settings(), Moment::from_secs(now)).unwrap();
        watch.set_accounts(&accounts());
        watch
    }
}
impl Drop for Spool {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_kill_at_any_line_changes_no_finding() {
    // Two hours of cron and newsletter mail, then a burst; judged at the end with and without a restart.
    let mut log = Log::default();
    for i in 0..20i64 {
        log.mail(TEN - 7200 + i * 360, 3001, "botan", &[("botan@web01.test", "sent")]);
        log.mail(TEN - 7200 + i * 360, 3002, "news@fuji.example.jp", &[(&format!("m{i}@example.com"), "sent")]);
    }
    for i in 0..50i64 {
        let status = ["sent", "bounced", "deferred"][i as usize % 3];
        log.mail(TEN + i, 3001, "botan", &[(&format!("a{i}@example.se"), status)]);
    }
    let now = Moment::from_secs(TEN + 200);
    let whole = Spool::new("whole", &log.text);
    let mut watch = whole.watch(None, TEN + 200);
    while !watch.poll(now, 1 << 20).unwrap() {}
    let expected = (one(&watch, 3001, now), one(&watch, 3002, now), watch.sums(3001, now).unwrap().0);
    assert_eq!(expected.0.as_ref().unwrap().signal.strength, Strength::Conclusive);

    let ends: Vec<usize> = log.text.match_indices('\n').map(|(at, _)| at + 1).collect();
    for (n, end) in ends.iter().enumerate() {
        let spool = Spool::new("kill", &log.text[..*end]);
        // Read as it grew, a few lines a poll, so that there are many marks.
        let mut first = spool.watch(None, TEN - 7200);
        while !first.poll(now, 400 + n as u64).unwrap() {}
        let at = first.reader.last();
        let cursor = first.cursor(at).unwrap();
        drop(first);
        let rest = &log.text.as_bytes()[*end..];
        std::io::Write::write_all(&mut fs::OpenOptions::new().append(true).open(spool.path()).unwrap(), rest).unwrap();
        let mut second = spool.watch(Some(cursor), TEN + 200);
        while !second.poll(now, 1 << 20).unwrap() {}
        let got = (one(&second, 3001, now), one(&second, 3002, now), second.sums(3001, now).unwrap().0);
        assert_eq!(got, expected, "killed after line {n}");
    }
}

#[test]
fn a_verification_counts_what_was_sent_and_finds_what_went_on() {
    let mut log = Log::default();
    for i in 0..130i64 {
        log.mail(TEN + i, 3001, "botan", &[(&format!("a{i}@example.se"), "bounced")]);
    }
    let since = Moment::from_secs(TEN + 180);
    let now = Moment::from_secs(TEN + 1800);
    let botan = accounts()[0].account.clone();
    // Held ones do not count, three ordinary ones do.
    for i in 0..40i64 {
        let id = log.mail(TEN + 300 + i, 3001, "botan", &[]);
        log.line(TEN + 300 + i, "postsuper", &format!("{id}: placed on hold"));
    }
    for i in 0..3i64 {
        log.mail(TEN + 600 + i, 3001, "botan", &[("owner@botan.example.jp", "sent")]);
    }
    let spool = Spool::new("check", &log.text);
    let verdict = |watch: &mut Watch, since| {
        while !watch.poll(now, 1 << 20).unwrap() {}
        watch.checked(&botan, since, now).verdict
    };
    let mut first = spool.watch(None, TEN + 1800);
    assert_eq!(first.checked(&botan, since, now).verdict, Verdict::NotChecked { why: "no_log".to_owned() });
    assert_eq!(verdict(&mut first, since), Verdict::Clean { count: 3 });
    assert_eq!(verdict(&mut first, Moment::from_secs(TEN - 9000)), Verdict::NotChecked { why: "no_log".to_owned() });

    // Taken up again from its cursor nothing is missing; from a cursor whose file is gone, something is.
    let cursor = first.cursor(now).unwrap();
    assert_eq!(verdict(&mut spool.watch(Some(cursor.clone()), TEN + 1800), since), Verdict::Clean { count: 3 });
    let gone = Cursor { inode: 1, head: Hash::of(b"other"), ..cursor };
    let no_log = Verdict::NotChecked { why: "no_log".to_owned() };
    assert_eq!(verdict(&mut spool.watch(Some(gone), TEN + 1800), since), no_log);

    for i in 0..60i64 {
        log.mail(TEN + 900 + i, 3001, "botan", &[(&format!("b{i}@example.se"), "bounced")]);
    }
    fs::write(spool.path(), &log.text).unwrap();
    assert_eq!(verdict(&mut spool.watch(None, TEN + 1800), since), Verdict::Found { place: "sendmail".to_owned() });
}

#[test]
fn hours_are_learned_live_and_a_burst_teaches_nothing() {
    let spool = Spool::new("learn", "");
    let mut watch = spool.watch(None, TEN);
    let append = |text: &str| {
        let mut file = fs::OpenOptions::new().append(true).open(spool.path()).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    };
    for hour in 0..30i64 {
        let mut log = Log { serial: hour as u32 * 200, ..Log::default() };
        let start = TEN + hour * 3600;
        let (count, uid) = if hour == 20 { (150, "bounced") } else { (6, "sent") };
        for i in 0..count {
            log.mail(start + i * 5, 3001, "botan@botan.example.jp", &[(&format!("a{i}@example.se"), uid)]);
        }
        append(&log.text);
        let now = Moment::from_secs(start + 1200);
        while !watch.poll(now, 1 << 20).unwrap() {}
        assert_eq!(watch.news(now).len(), usize::from(hour == 20), "hour {hour}");
    }
    let rows = watch.take_baselines();
    let all = rows.iter().find(|row| row.metric == "mails_per_hour").unwrap();
    assert_eq!((all.mean, all.samples), (6.0, 27));
    assert!(watch.take_baselines().is_empty());
}
