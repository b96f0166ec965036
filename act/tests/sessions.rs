//! Everyone is signed out of a real WordPress, and a hostile wp-config.php hurts nobody.

#[path = "node/death.rs"]
mod death;
mod node;

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use model::packet::SiteHandle;
use model::{AccountRef, Failure, Measure, Restriction};
use node::server::Server;
use node::*;

const PHP: &str = "/usr/bin/php";

fn missing(paths: &[&str]) -> bool {
    let missing = paths.iter().find(|path| !Path::new(path).exists());
    if let Some(why) = missing.map(|p| format!("{p} is not there")).or((!is_root()).then(|| "no root".into())) {
        skipped(&why);
        return true;
    }
    false
}

fn handle(domain: &str, root: &Path) -> SiteHandle {
    SiteHandle { root: root.to_str().unwrap().into(), ..site(domain, vec![]) }
}

fn ending(serial: u16, domain: &str) -> Restriction {
    restriction(serial, 0, Measure::EndSessions { site: domain.parse().unwrap() })
}

/// A document root of `uid` whose wp-load.php is this.
fn fake(node: &Node, uid: u32, load: &str) -> PathBuf {
    let root = node.folder.path().join(format!("root-{uid}"));
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("wp-load.php"), format!("<?php {load}")).unwrap();
    for path in [root.join("wp-load.php"), root.clone()] {
        chown(&path, Some(uid), Some(uid)).unwrap();
    }
    root
}

/// Processes of this uid that have not ended.
fn left(uid: u32) -> Vec<u32> {
    let pids = sys::process::pids().unwrap();
    let alive = |pid: &u32| {
        let identity = sys::process::Process::open(*pid).and_then(|p| p.identity());
        identity.is_ok_and(|is| is.uids[0] == uid && is.state != 'Z')
    };
    pids.into_iter().filter(alive).collect()
}

/// Orders it for a root with this wp-load.php; what came of it, and after how long.
fn order_for(node: &Node, uid: u32, load: &str) -> (Result<String, Failure>, Duration) {
    let root = fake(node, uid, load);
    let since = Instant::now();
    let order = impose(1, &account("mallory", uid), &ending(1, "site.test"), &[handle("site.test", &root)]);
    let answer = match node.open().handle(order).pop() {
        Some(model::packet::FromAct::Done { what, .. }) => Ok(what),
        Some(model::packet::FromAct::Failed { why, .. }) => Err(why),
        other => panic!("{other:?}"),
    };
    (answer, since.elapsed())
}

/// The naive twin: the tenant's uid alone, the output read to its end.
fn twin(root: &Path, uid: u32) -> Vec<u8> {
    let code = "require 'wp-load.php';";
    let mut command = Command::new(PHP);
    command.args(["-r", code]).current_dir(root).uid(uid).gid(uid).stderr(Stdio::null());
    command.output().unwrap().stdout
}

#[test]
fn a_hostile_wp_config_that_forks_stays_or_kills_leaves_nothing_and_its_twin_does() {
    if missing(&[PHP]) {
        return;
    }
    let stays = "fclose(STDOUT); posix_setsid(); sleep(60); exit;";
    for (uid, load) in [
        (20_261, format!("for ($i = 0; $i < 20; $i++) if (pcntl_fork() === 0) {{ {stays} }}")),
        (20_262, format!("if (pcntl_fork() === 0) {{ if (pcntl_fork() === 0) {{ {stays} }} exit; }}")),
        (20_263, "proc_open(['/bin/sleep', '60'], [['file', '/dev/null', 'r'], ['file', '/dev/null', 'w']], $p); posix_kill(getmypid(), 9);".into()),
    ] {
        let node = Node::new();
        let (answer, _) = order_for(&node, uid, &load);
        assert!(matches!(&answer, Err(Failure::Error(why)) if why.contains("; ")), "{answer:?}");
        assert_eq!(left(uid), [0; 0], "{load}");
        twin(&node.folder.path().join(format!("root-{uid}")), uid);
        assert!(!left(uid).is_empty(), "the twin must leave something: {load}");
        for pid in left(uid) {
            let _ = sys::process::Process::open(pid).map(|p| p.kill());
        }
    }
    let node = Node::new();
    let (answer, _) =
        order_for(&node, 20_264, "posix_kill(posix_getppid(), 9); posix_kill(posix_getppid(), 19); exit;");
    assert!(answer.is_err(), "and we are still here");
}

#[test]
fn death_at_any_step_leaves_no_half_restriction_and_the_order_sent_again_ends_well() {
    if missing(&[PHP]) {
        return;
    }
    let load = "class Base { public $usermeta = 'm'; function query($text) { return 3; } } $wpdb = new Base;";
    for n in 1.. {
        let (node, who, one) = (Node::new(), account("mallory", 20_325), ending(1, "site.test"));
        let order = impose(1, &who, &one, &[handle("site.test", &fake(&node, who.uid, load))]);
        let died = death::die_after(&node, n, &order, |_| ());
        if died.is_some() {
            death::die_while_opening(&node);
        }
        let mut actor = node.open();
        assert!(in_force(&mut actor).iter().all(|(id, holds, _)| *id == one.id && *holds), "step {n}");
        let what = done(actor.handle(order));
        assert!(what.contains("3 people signed out"), "{what}");
        done(actor.handle(lift(2, &who, &one, false)));
        assert_eq!(in_force(&mut actor), []);
        if died.is_none() {
            assert!(n > 3, "the hook was never called");
            break;
        }
    }
}

#[test]
fn a_hostile_wp_config_that_never_ends_is_killed_in_time() {
    if missing(&[PHP]) {
        return;
    }
    let cases = [
        (20_265, "while (true) { }"),
        (20_266, "ignore_user_abort(true); pcntl_signal(SIGTERM, SIG_IGN); while (true) sleep(1000);"),
        (20_267, "while (true) { while (ob_get_level()) ob_end_flush(); echo str_repeat('x', 1000000); }"),
    ];
    std::thread::scope(|scope| {
        for (uid, load) in cases {
            scope.spawn(move || {
                let node = Node::new();
                let (answer, took) = order_for(&node, uid, load);
                assert!(matches!(&answer, Err(Failure::Error(why)) if why.contains("close-site")), "{answer:?}");
                assert!(took < Duration::from_secs(30), "{load}: {took:?}");
                assert_eq!(left(uid), [0; 0], "{load}");
            });
        }
    });
}

#[test]
fn an_account_whose_code_did_not_end_in_time_holds_nobody_up_again_within_the_hour() {
    if missing(&[PHP]) {
        return;
    }
    let (node, mallory, bob) = (Node::new(), account("mallory", 20_272), account("bob", 20_273));
    let roots = [fake(&node, mallory.uid, "while (true) { }"), fake(&node, bob.uid, "exit;")];
    let mut actor = node.open();
    let mut said = |serial: u16, who: &AccountRef, root: &Path| {
        let name = format!("s{serial}.test");
        let order = impose(u64::from(serial), who, &ending(serial, &name), &[handle(&name, root)]);
        failed(actor.handle(order)).to_string()
    };
    let why = said(1, &mallory, &roots[0]);
    assert!(why.contains("did not end within 5 s"), "{why}");
    // The naive twin waits as long for each of his sites.
    for serial in 2..200 {
        let why = said(serial, &mallory, &roots[0]);
        assert!(why.contains("not run again") && why.contains("close-site"), "{why}");
    }
    assert!(said(200, &bob, &roots[1]).contains("did not start"), "another account's site is run");
    node.pass_time(3600);
    let why = said(201, &mallory, &roots[0]);
    assert!(why.contains("did not end within 5 s"), "{why}");
}

#[test]
fn a_hostile_wp_config_writes_nothing_takes_no_memory_and_its_word_is_bounded() {
    if missing(&[PHP]) {
        return;
    }
    let node = Node::new();
    let secret = node.config.state_dir.join("planted");
    let own = format!("file_put_contents('own', 'x') && exit; file_put_contents('{}', 'x');", secret.display());
    for (uid, load) in [
        (20_268, own.as_str()),
        (20_269, "ini_set('memory_limit', -1); $x = str_repeat('x', 3000000000);"),
        (20_270, "echo \"\\nhikeshi ended 99999999999999999999\\n\"; exit;"),
        (20_271, "echo \"hikeshi ended 3\\nand more\"; exit;"),
        (20_272, "symlink('/etc/shadow', 'wp-config.php'); require 'wp-config.php';"),
    ] {
        let (answer, _) = order_for(&node, uid, load);
        assert!(matches!(&answer, Err(Failure::Error(_))), "{load}: {answer:?}");
        assert!(in_force(&mut node.open()).is_empty(), "a failed order leaves nothing in force");
        std::fs::remove_file(node.config.state_dir.join("journal")).unwrap();
    }
    let root = node.folder.path().join("root-20268");
    assert!(!secret.exists() && std::fs::read(root.join("own")).unwrap_or_default().is_empty());
    twin(&root, 20_268);
    assert_eq!(std::fs::read(root.join("own")).unwrap(), b"x", "the twin must write");
}

#[test]
fn what_is_no_wordpress_or_not_the_accounts_own_folder_is_refused_with_the_next_step() {
    if missing(&[PHP]) {
        return;
    }
    let node = Node::new();
    let (uid, mut actor) = (20_273, node.open());
    let root = fake(&node, uid, "");
    let link = node.folder.path().join("link");
    std::os::unix::fs::symlink(&root, &link).unwrap();
    let ask = |actor: &mut act::Actor, intent: u64, uid: u32, root: &Path| {
        failed(actor.handle(impose(intent, &account("a", uid), &ending(1, "site.test"), &[handle("site.test", root)])))
    };
    let why = ask(&mut actor, 1, uid, &link);
    assert!(why.to_string().contains("name the folder itself"), "{why}");
    let why = ask(&mut actor, 2, uid + 1, &root);
    assert!(why.to_string().contains("belongs to uid 20273"), "{why}");
    std::fs::remove_file(root.join("wp-load.php")).unwrap();
    let why = ask(&mut actor, 3, uid, &root);
    assert!(why.to_string().contains("no wp-load.php in"), "{why}");
    std::fs::write(root.join("wp-load.php"), "<?php").unwrap();
    let why = ask(&mut actor, 4, uid, &root);
    assert!(why.to_string().contains("did not reach its database"), "{why}");
    std::fs::remove_dir_all(&root).unwrap();
    assert!(matches!(ask(&mut actor, 5, uid, &root), Failure::Gone(_)));
}

/// A MariaDB of the test, without a network.
fn database(folder: &Path) -> Sleeper {
    let path = |name: &str| folder.join(name).display().to_string();
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    };
    std::fs::create_dir(folder.join("db")).unwrap();
    let mut install = Command::new("/usr/bin/mariadb-install-db");
    let common = ["--no-defaults".to_owned(), "--user=mysql".into(), format!("--datadir={}", path("db"))];
    install.args(&common).args(["--auth-root-authentication-method=socket", "--skip-test-db"]);
    quiet(&mut install);
    assert!(install.status().unwrap().success());
    std::fs::create_dir(folder.join("run")).unwrap();
    std::fs::set_permissions(folder.join("run"), PermissionsExt::from_mode(0o777)).unwrap();
    let mut server = Command::new("/usr/sbin/mariadbd");
    server.args(&common).args(["--skip-networking".to_owned(), format!("--socket={}", path("run/s"))]);
    server.args(["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=2", "--skip-log-bin"]);
    quiet(&mut server);
    let server = Sleeper(server.spawn().unwrap());
    eventually("the database answers", || sql(folder, "select 1").is_some());
    server
}

/// What the database prints as root, `None` when it refuses.
fn sql(folder: &Path, text: &str) -> Option<String> {
    let mut command = Command::new("/usr/bin/mariadb");
    command.args(["--no-defaults", "-N", "-S"]).arg(folder.join("run/s")).args(["-e", text]);
    let output = command.output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// A WordPress of `uid` with an administrator, served by PHP's own server.
fn wordpress(folder: &Path, uid: u32, port: u16) -> (PathBuf, Server) {
    let (root, name) = (folder.join(format!("wp{uid}")), format!("wp{uid}"));
    let copied = Command::new("/bin/cp").args(["-rL", "/usr/share/wordpress/."]).arg(&root).status();
    assert!(copied.is_ok()); // a link of the package may lead nowhere
    let grant = format!(
        "create database {name}; create user {name}@localhost identified by 'pw'; grant all on {name}.* to {name}@localhost"
    );
    sql(folder, &grant).unwrap();
    let text = format!(
        "<?php\ndefine('DB_NAME', '{name}'); define('DB_USER', '{name}'); define('DB_PASSWORD', 'pw');\n\
         define('DB_HOST', 'localhost:{}'); define('DB_CHARSET', 'utf8mb4'); define('DB_COLLATE', '');\n\
         foreach (['AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY', 'AUTH_SALT', 'SECURE_AUTH_SALT', \
         'LOGGED_IN_SALT', 'NONCE_SALT'] as $k) define($k, hash('sha256', '{name}' . $k));\n\
         define('WP_HTTP_BLOCK_EXTERNAL', true); define('DISABLE_WP_CRON', true); define('AUTOMATIC_UPDATER_DISABLED', true);\n\
         define('WP_HOME', 'http://127.0.0.1:{port}'); define('WP_SITEURL', 'http://127.0.0.1:{port}');\n         $table_prefix = 'odd_'; if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/'); require_once ABSPATH . 'wp-settings.php';\n",
        folder.join("run/s").display()
    );
    let _ = std::fs::remove_file(root.join("wp-config.php"));
    std::fs::write(root.join("wp-config.php"), text).unwrap();
    assert!(Command::new("/bin/chown").arg("-R").arg(uid.to_string()).arg(&root).status().unwrap().success());
    std::fs::set_permissions(root.join("wp-config.php"), PermissionsExt::from_mode(0o600)).unwrap();
    let install = "define('WP_INSTALLING', true); $_SERVER['HTTP_HOST'] = 'x'; require './wp-load.php'; \
        require ABSPATH . 'wp-admin/includes/upgrade.php'; function wp_mail() {} \
        wp_install('Test', 'admin', 'a@example.test', true, '', 'admin-pass-1');";
    let mut command = Command::new(PHP);
    command.args(["-d", "sendmail_path=/bin/true", "-r", install]).current_dir(&root).uid(uid).gid(uid);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut command = Command::new(PHP);
    command.arg("-S").arg(format!("127.0.0.1:{port}")).arg("-t").arg(&root).uid(uid).gid(uid);
    (root, Server::start(port, command))
}

/// Signs in as a browser does; the cookies to send.
fn sign_in(server: &Server) -> String {
    let form = "log=admin&pwd=admin-pass-1&testcookie=1";
    let headers = "Cookie: wordpress_test_cookie=WP%20Cookie%20check\r\n";
    let (code, text) = server.send("POST", "127.0.0.1", "/wp-login.php", headers, form);
    assert_eq!(code, 302, "{text}");
    let cookies = text.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")?.split(';').next());
    format!("Cookie: {}\r\n", cookies.collect::<Vec<_>>().join("; "))
}

fn is_in(server: &Server, cookie: &str) -> bool {
    let (code, text) = server.ask("GET", "127.0.0.1", "/wp-admin/profile.php", cookie);
    assert!(matches!(code, 200 | 302), "{text}");
    code == 200
}

#[test]
fn everyone_is_signed_out_of_one_wordpress_and_nobody_of_another() {
    let needed = [PHP, "/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db", "/usr/share/wordpress/wp-load.php"];
    if missing(&needed) {
        return;
    }
    let node = Node::new();
    let folder = node.folder.path();
    let _database = database(folder);
    let (one, two) = (account("one", 20_275), account("two", 20_276));
    let (root, server) = wordpress(folder, one.uid, 21_250);
    let (network, other) = wordpress(folder, two.uid, 21_251);
    let (first, second, elsewhere) = (sign_in(&server), sign_in(&server), sign_in(&other));
    assert!(is_in(&server, &first) && is_in(&server, &second) && is_in(&other, &elsewhere));

    let site = handle("site.test", &root);
    let order = |account: &AccountRef, serial| {
        impose(u64::from(serial), account, &ending(serial, "site.test"), std::slice::from_ref(&site))
    };
    let mut actor = node.open();
    let answers = actor.handle(dry(order(&one, 1)));
    assert!(
        matches!(&answers[..], [model::packet::FromAct::Would { steps, .. }] if steps[0].contains("uid 20275")),
        "{answers:?}"
    );
    assert!(is_in(&server, &first), "a dry run does nothing");
    let what = done(actor.handle(order(&one, 2)));
    assert!(what.starts_with("1 people signed out"), "{what}");
    assert!(!is_in(&server, &first) && !is_in(&server, &second), "both browsers are out");
    assert!(is_in(&other, &elsewhere), "the other site's people stay");
    let what = done(actor.handle(lift(3, &one, &ending(2, "site.test"), false)));
    assert!(what.contains("sign in again"), "{what}");
    let again = sign_in(&server);
    assert!(is_in(&server, &again));
    drop(actor);

    // The other one becomes a network of sites, which WordPress does not start without a request.
    let make = "require './wp-load.php'; require ABSPATH . 'wp-admin/includes/upgrade.php'; \
        foreach ($wpdb->tables('ms_global') as $table => $name) $wpdb->$table = $name; \
        install_network(); populate_network(1, 'net.test', 'a@example.test', 'Net', '/', false);";
    let mut command = Command::new(PHP);
    command.args(["-r", &format!("define('WP_INSTALLING', true); define('WP_INSTALLING_NETWORK', true); {make}")]);
    assert!(command.current_dir(&network).uid(two.uid).gid(two.uid).output().unwrap().status.success());
    let config = std::fs::read_to_string(network.join("wp-config.php")).unwrap();
    let constants = "<?php define('MULTISITE', true); define('SUBDOMAIN_INSTALL', false); define('PATH_CURRENT_SITE', '/'); \
        define('DOMAIN_CURRENT_SITE', 'net.test'); define('SITE_ID_CURRENT_SITE', 1); define('BLOG_ID_CURRENT_SITE', 1);";
    std::fs::write(network.join("wp-config.php"), config.replace("<?php", constants)).unwrap();
    let tokens = || sql(folder, "select count(*) from wp20276.odd_usermeta where meta_key = 'session_tokens'").unwrap();
    assert_eq!(tokens(), "1\n");
    let handle = handle("unknown.test", &network);
    let what = done(node.open().handle(impose(4, &two, &ending(4, "unknown.test"), &[handle])));
    assert_eq!((tokens().as_str(), what.starts_with("1 people")), ("0\n", true), "{what}");

    // Death at every step: sent again, it ends with everyone out.
    for n in 1.. {
        let cookie = sign_in(&server);
        let count = std::sync::atomic::AtomicUsize::new(0);
        let mut actor = node.open_with(Box::new(move |_| {
            if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 == n {
                std::panic::panic_any("killed here");
            }
        }));
        let packet = order(&one, 10 + n as u16);
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| actor.handle(packet.clone()))).is_err();
        drop(actor);
        let mut actor = node.open();
        done(actor.handle(packet));
        assert!(!is_in(&server, &cookie), "step {n}");
        if !died {
            assert!(n >= 3, "the hook was never called");
            break;
        }
    }
}
