//! Names that programs go by. A name only says what a process claims; every use also asks where the file lies.

/// Name of a file: what stands behind the last slash.
pub fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}

/// A program's name without its version: `php8.2` and `php-8.2` are `php`, `python3.11` is `python`.
pub fn family_name(name: &[u8]) -> &[u8] {
    let name = base(name);
    let end = name.iter().rposition(|b| !matches!(b, b'0'..=b'9' | b'.' | b'-')).map_or(0, |at| at + 1);
    if end == 0 { name } else { &name[..end] }
}

fn one_of(name: &[u8], list: &[&str]) -> bool {
    list.iter().any(|word| word.as_bytes() == name)
}

/// Shells.
pub fn is_shell(exe: &[u8]) -> bool {
    one_of(
        family_name(exe),
        &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox", "tcsh", "csh", "fish", "rbash"],
    )
}

/// Programs that run code from a text: shells, and the loader, which runs whatever file it is given.
pub fn is_interpreter(exe: &[u8]) -> bool {
    is_shell(exe)
        || is_loader(exe)
        || is_php(exe)
        || one_of(
            family_name(exe),
            &[
                "perl", "php", "php-cli", "php-cgi", "lsphp", "phpdbg", "python", "pypy", "ruby", "jruby", "node",
                "nodejs", "deno", "bun", "lua", "luajit", "tclsh", "java", "mono", "dotnet", "gawk", "mawk", "awk",
                "expect", "raku",
            ],
        )
}

/// PHP under the names that panels give it: `php82`, `ea-php82`, `alt-php81`, `php8.2-cli`, `lsphp`; not the pools.
pub fn is_php(exe: &[u8]) -> bool {
    let name = base(exe);
    let name = name.strip_prefix(b"ea-").or_else(|| name.strip_prefix(b"alt-")).unwrap_or(name);
    let name = name.strip_prefix(b"ls").unwrap_or(name);
    let Some(rest) = name.strip_prefix(b"php") else { return false };
    let version = rest.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    matches!(&rest[version..], b"" | b"-cli" | b"-cgi" | b"cli" | b"rc" | b"dbg")
}

/// The dynamic loader used as a program: `/lib64/ld-linux-x86-64.so.2 /tmp/x` runs `/tmp/x`.
pub fn is_loader(exe: &[u8]) -> bool {
    let name = base(exe);
    (name.starts_with(b"ld-linux") || name.starts_with(b"ld-musl") || name.starts_with(b"ld-2."))
        && contains(name, b"so")
        || name == b"ld.so"
}

/// Workers that a web server or PHP pool starts and that serve many scripts one after the other.
pub fn is_pool_program(exe: &[u8]) -> bool {
    one_of(
        family_name(exe),
        &[
            "php-fpm",
            "lsphp",
            "php-cgi",
            "httpd",
            "apache",
            "litespeed",
            "lshttpd",
            "openlitespeed",
            "nginx",
            "uwsgi",
            "fcgiwrap",
            "suphp",
            "spawn-fcgi",
            "caddy",
            "unitd",
            "lsws",
        ],
    )
}

/// Programs that fetch something from elsewhere and can print it.
pub fn is_downloader(name: &[u8]) -> bool {
    one_of(
        family_name(name),
        &[
            "wget",
            "curl",
            "fetch",
            "lynx",
            "links",
            "elinks",
            "w3m",
            "aria2c",
            "GET",
            "lwp-request",
            "lwp-download",
            "axel",
            "ftp",
            "tftp",
            "http",
            "https",
            "wget2",
            "nc",
            "ncat",
            "netcat",
            "socat",
        ],
    )
}

/// Daemons that only the system runs: no owner has a reason to carry a program of this name.
pub fn is_system_daemon(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "crond",
        "cron",
        "atd",
        "anacron",
        "sshd",
        "systemd",
        "init",
        "syslogd",
        "rsyslogd",
        "syslog-ng",
        "klogd",
        "journald",
        "udevd",
        "systemd-udevd",
        "systemd-journald",
        "systemd-journal",
        "systemd-logind",
        "systemd-resolved",
        "systemd-resolve",
        "systemd-networkd",
        "systemd-network",
        "systemd-timesyncd",
        "systemd-timesyn",
        "auditd",
        "polkitd",
        "agetty",
        "getty",
        "mingetty",
        "irqbalance",
        "chronyd",
        "ntpd",
        "acpid",
        "dhclient",
        "dhcpcd",
        "NetworkManager",
        "exim",
        "postfix",
        "dovecot",
        "named",
        "accounts-daemon",
        "cupsd",
        "lvmetad",
        "haveged",
        "rngd",
        "snapd",
        "tuned",
        "firewalld",
        "multipathd",
        "containerd",
        "dockerd",
        "containerd-shim",
        "xinetd",
        "inetd",
        "rpcbind",
        "rpc.statd",
        "smartd",
        "mdadm",
        "dbus-broker",
        "gssproxy",
        "sssd",
        "nscd",
        "nslcd",
        "udisksd",
        "upowerd",
        "ModemManager",
        "wpa_supplicant",
        "vsftpd",
        "proftpd",
        "pure-ftpd",
        "sendmail",
        "spamd",
        "clamd",
        "freshclam",
        "fail2ban-server",
        "saslauthd",
        "crowdsec",
        "cpsrvd",
        "cpanellogd",
        "imunify",
        "lfd",
        "csf",
        "zabbix_agentd",
        "snmpd",
        "qmgr",
        "unattended-upgr",
        "unattended-upgrade",
        "packagekitd",
        "networkd-dispat",
        "thermald",
    ];
    one_of(name, NAMES) || name.starts_with(b"systemd-")
}

/// Daemons that owners sometimes run themselves from a build of their own; wrong only when another program shows
/// the name.
pub fn is_service_daemon(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "httpd",
        "apache2",
        "apache",
        "nginx",
        "lighttpd",
        "litespeed",
        "lshttpd",
        "php-fpm",
        "lsphp",
        "mysqld",
        "mariadbd",
        "mysqld_safe",
        "postgres",
        "postmaster",
        "redis-server",
        "memcached",
        "mongod",
        "haproxy",
        "varnishd",
        "squid",
        "dbus-daemon",
        "tor",
        "openvpn",
        "supervisord",
        "elasticsearch",
        "rabbitmq-server",
        "bind",
        "unbound",
        "dnsmasq",
        "monit",
        "imapd",
        "pop3d",
        "imap",
        "imap-login",
        "pop3-login",
        "ftpd",
        "telnetd",
        "portmap",
    ];
    one_of(name, NAMES) || one_of(family_name(name), &["php-fpm", "lsphp", "apache"])
}

/// Everyday tools of the system; in a home, a program of this name copies a name that is trusted.
pub fn is_system_tool(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "rsync",
        "ssh",
        "scp",
        "sftp",
        "ls",
        "ps",
        "top",
        "htop",
        "cat",
        "grep",
        "sed",
        "awk",
        "find",
        "tar",
        "gzip",
        "bzip2",
        "xz",
        "zip",
        "unzip",
        "cp",
        "mv",
        "rm",
        "mysqldump",
        "mysql",
        "convert",
        "gs",
        "git",
        "vi",
        "vim",
        "nano",
        "less",
        "tail",
        "head",
        "sort",
        "sleep",
        "login",
        "su",
        "sudo",
        "passwd",
        "screen",
        "tmux",
        "mail",
        "mutt",
        "bash",
        "sh",
        "dash",
        "zsh",
        "who",
        "w",
        "date",
        "df",
        "du",
        "certbot",
        "rclone",
        "borg",
        "restic",
        "wget",
        "curl",
        "php",
        "perl",
        "python",
        "python3",
        "ruby",
        "php-cgi",
        "apt",
        "apt-get",
        "dpkg",
        "yum",
        "dnf",
        "rpm",
    ];
    one_of(name, NAMES)
}

/// Names that published miners go by.
pub fn is_miner_name(name: &[u8]) -> bool {
    [
        "xmrig",
        "xmr-stak",
        "minerd",
        "cpuminer",
        "ccminer",
        "nbminer",
        "lolminer",
        "phoenixminer",
        "srbminer",
        "teamredminer",
        "nanominer",
        "xmrstak",
    ]
    .iter()
    .any(|known| contains_any_case(name, known.as_bytes()))
}

/// Tools whose work is heavy by nature: backup, compression, images, films, imports, builds.
pub fn is_heavy_tool(name: &[u8]) -> bool {
    one_of(
        family_name(name),
        &[
            "mysqldump",
            "mariadb-dump",
            "mysql",
            "mariadb",
            "pg_dump",
            "pg_restore",
            "gzip",
            "pigz",
            "bzip",
            "xz",
            "zstd",
            "zip",
            "unzip",
            "tar",
            "7z",
            "7za",
            "rsync",
            "rclone",
            "borg",
            "restic",
            "duplicity",
            "duply",
            "rdiff-backup",
            "convert",
            "magick",
            "mogrify",
            "gs",
            "ffmpeg",
            "ffprobe",
            "cwebp",
            "jpegoptim",
            "optipng",
            "pngquant",
            "git",
            "wp",
            "wp-cli.phar",
            "composer",
            "composer.phar",
            "npm",
            "yarn",
            "pnpm",
            "webpack",
            "tsc",
            "cc",
            "cc1",
            "cargo",
            "rustc",
            "go",
            "make",
            "goaccess",
            "webalizer",
            "awstats.pl",
            "clamscan",
            "artisan",
            "drush",
            "occ",
            "magento",
        ],
    )
}

/// Forms of names that threads of the kernel have. Short ones (`md0`, `loop1`) count only when brackets stand
/// around them, as `ps` writes them: owners call programs so too.
pub fn is_kernel_thread(name: &[u8], in_brackets: bool) -> bool {
    const START: &[&str] = &[
        "kworker",
        "kthread",
        "ksoftirqd",
        "kswapd",
        "kdevtmpfs",
        "kblockd",
        "kauditd",
        "khugepaged",
        "khungtaskd",
        "kintegrityd",
        "kcompactd",
        "kthrotld",
        "kjournald",
        "kpsmoused",
        "migration/",
        "cpuhp/",
        "idle_inject/",
        "watchdog/",
        "jbd2/",
        "irq/",
        "xfsaild/",
        "rcuc/",
        "rcuop/",
        "rcuos/",
        "rcuob/",
        "rcuog/",
        "rcu_sched",
        "rcu_preempt",
        "rcu_bh",
        "rcu_gp",
        "rcu_par_gp",
        "rcu_tasks",
        "scsi_eh_",
        "scsi_tmf_",
        "oom_reaper",
        "mm_percpu_wq",
        "inet_frag_wq",
        "ext4-rsv-conver",
        "ipv6_addrconf",
        "watchdogd",
        "pool_workqueue",
        "kdmflush",
        "kcryptd",
        "events/",
        "events_unbound",
    ];
    const SHORT: &[&str] = &[
        "md",
        "loop",
        "nvme",
        "dm-",
        "xfs",
        "flush",
        "pdflush",
        "btrfs",
        "ext4",
        "nfsd",
        "lockd",
        "rpciod",
        "bioset",
        "crypto",
        "deferwq",
        "writeback",
        "netns",
        "ksmd",
        "ata_sff",
        "kstrp",
        "kondemand",
        "cifs",
        "usb",
        "kvm",
        "zswap",
        "edac",
        "card",
        "tpm",
        "acpi",
        "devfreq",
        "charger",
        "slub",
        "khubd",
        "aio",
        "kmpath",
        "vmstat",
        "bond",
        "cfg80211",
        "target",
        "psimon",
        "sched",
        "stopper",
    ];
    START.iter().any(|start| name.starts_with(start.as_bytes()))
        || in_brackets && SHORT.iter().any(|start| name.starts_with(start.as_bytes()))
}

/// Whether two names may stand for one program: links and forks of the same tool.
pub fn same_program(one: &[u8], other: &[u8]) -> bool {
    const GROUPS: &[&[&str]] = &[
        &["mysqld", "mariadbd", "mysqld_safe", "mysqldump", "mariadb-dump", "mysql", "mariadb"],
        &["apache", "httpd"],
        &["redis-server", "valkey-server"],
        &["postgres", "postmaster"],
        &["php", "php-cli", "php-cgi", "lsphp", "php-fpm"],
        &["python", "pypy"],
        &["awk", "gawk", "mawk"],
        &["node", "nodejs"],
        &["sendmail", "exim", "postfix"],
        &["cron", "crond"],
        &["vi", "vim", "nvim", "vim.basic", "vim.tiny"],
        &["convert", "magick", "gm"],
    ];
    let (one, other) = (family_name(one), family_name(other));
    one == other
        || (is_shell(one) && is_shell(other))
        || (one.len() >= 4 && other.starts_with(one))
        || (other.len() >= 4 && one.starts_with(other))
        || GROUPS.iter().any(|group| one_of(one, group) && one_of(other, group))
}

/// Whether `part` stands anywhere in `text`.
pub fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// As [`contains`], letters of either case.
pub fn contains_any_case(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}
