//! System calls in groups, by what they are for; a role's filter is made of these.

/// A call by name and number (on this architecture).
pub type Named = (&'static str, i64);

macro_rules! named {
    ($($call:ident),* $(,)?) => { &[$((stringify!($call), libc::$call)),*] };
}

/// One call, and in which ways it may be made (or may not, in a list of what is refused).
#[derive(Clone, Debug)]
pub struct Call {
    /// Without the prefix `SYS_`.
    pub name: &'static str,
    /// Its number.
    pub number: i64,
    /// Alternatives, each a conjunction of tests of arguments (the low 32 bits of argument 0 to 5); none: always.
    pub ways: Vec<Vec<(u8, Test)>>,
}

/// A test of one argument.
#[derive(Clone, Copy, Debug)]
pub enum Test {
    /// Equal.
    Is(u64),
    /// Not equal.
    IsNot(u64),
    /// Greater.
    Above(u64),
    /// These bits are exactly so.
    Bits {
        /// Which bits.
        mask: u64,
        /// How they are.
        value: u64,
    },
}

impl Call {
    /// Always.
    pub fn plain((name, number): Named) -> Call {
        Call { name: name.trim_start_matches("SYS_"), number, ways: Vec::new() }
    }

    fn when(call: Named, ways: Vec<Vec<(u8, Test)>>) -> Call {
        Call { ways, ..Call::plain(call) }
    }
}

/// Arguments are in memory, where no filter sees them: told that they are not there (ENOSYS), libraries use the older
/// calls, whose arguments can be tested. Every filter has the first, [`super::Calls::Only`] both.
pub(super) const UNSEEN: &[Named] = named![SYS_clone3, SYS_openat2];

fn plain(calls: &[Named]) -> Vec<Call> {
    calls.iter().map(|call| Call::plain(*call)).collect()
}

/// Memory, time, waiting, threads, what is said on the standard streams. No new process, no program, no memory that
/// can be executed, no signal to others.
pub fn basic() -> Vec<Call> {
    let bits = |mask: i32, value: i32| Test::Bits { mask: mask as u64, value: value as u64 };
    let either = |argument: u8, values: &[u64]| values.iter().map(|v| vec![(argument, Test::Is(*v))]).collect();
    // No owner of a descriptor, who is sent signals.
    const FLAGS: [i32; 5] = [libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL];
    let mut calls = plain(named![
        SYS_brk,
        SYS_munmap,
        SYS_mremap,
        SYS_madvise,
        SYS_futex,
        SYS_set_robust_list,
        SYS_rseq,
        SYS_membarrier,
        SYS_sched_yield,
        SYS_sched_getaffinity,
        SYS_nanosleep,
        SYS_clock_nanosleep,
        SYS_clock_gettime,
        SYS_clock_getres,
        SYS_gettimeofday,
        SYS_restart_syscall,
        SYS_rt_sigaction,
        SYS_rt_sigprocmask,
        SYS_rt_sigreturn,
        SYS_sigaltstack,
        SYS_getpid,
        SYS_gettid,
        SYS_getppid,
        SYS_getuid,
        SYS_geteuid,
        SYS_getgid,
        SYS_getegid,
        SYS_getrandom,
        SYS_uname,
        SYS_sysinfo,
        SYS_getrusage,
        SYS_getcwd,
        SYS_exit,
        SYS_exit_group,
        SYS_ppoll,
        SYS_epoll_create1,
        SYS_epoll_ctl,
        SYS_epoll_pwait,
        SYS_eventfd2,
        SYS_lseek,
        SYS_read,
        SYS_readv,
        SYS_pread64,
        SYS_fstat,
    ]);
    #[cfg(target_arch = "x86_64")]
    calls.extend(plain(named![SYS_poll, SYS_epoll_wait, SYS_time, SYS_getrlimit]));
    let exec = bits(libc::PROT_EXEC, 0);
    calls.extend([
        Call::when(("mmap", libc::SYS_mmap), vec![vec![(2, exec)]]),
        Call::when(("mprotect", libc::SYS_mprotect), vec![vec![(2, exec)]]),
        Call::when(("clone", libc::SYS_clone), vec![vec![(0, bits(libc::CLONE_THREAD, libc::CLONE_THREAD))]]),
        // It ends by abort(3), which is a signal to itself.
        Call::when(("tgkill", libc::SYS_tgkill), either(0, &[std::process::id().into()])),
        Call::when(("prlimit64", libc::SYS_prlimit64), either(0, &[0])),
        Call::when(("fcntl", libc::SYS_fcntl), either(1, &FLAGS.map(|command| command as u64))),
        Call::when(("prctl", libc::SYS_prctl), either(0, &[libc::PR_SET_NAME as u64, libc::PR_GET_NAME as u64])),
        // Whether a stream is a terminal, whether reading waits, how much there is to read.
        Call::when(
            ("ioctl", libc::SYS_ioctl),
            either(1, &[libc::TCGETS, libc::FIONBIO, libc::FIONREAD, libc::FIOCLEX]),
        ),
    ]);
    calls
}

/// Standard streams alone can be written, and cannot be exchanged for something else.
pub fn speak() -> Vec<Call> {
    let streams = || vec![vec![(0, Test::Is(1))], vec![(0, Test::Is(2))]];
    vec![
        Call::when(("write", libc::SYS_write), streams()),
        Call::when(("writev", libc::SYS_writev), streams()),
        Call::when(("close", libc::SYS_close), vec![vec![(0, Test::Above(2))]]),
    ]
}

/// Looking at names and opening files for reading; nothing that could make or change one.
pub fn look() -> Vec<Call> {
    let mut calls = look_only();
    let changes = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | (libc::O_TMPFILE & !libc::O_DIRECTORY);
    let unchanged = Test::Bits { mask: changes as u64, value: 0 };
    calls.push(Call::when(("openat", libc::SYS_openat), vec![vec![(2, unchanged)]]));
    calls
}

fn look_only() -> Vec<Call> {
    let mut calls = plain(named![
        SYS_newfstatat,
        SYS_statx,
        SYS_readlinkat,
        SYS_faccessat,
        SYS_faccessat2,
        SYS_getdents64,
        SYS_statfs,
        SYS_fstatfs,
        SYS_fadvise64,
    ]);
    #[cfg(target_arch = "x86_64")]
    calls.extend(plain(named![SYS_stat, SYS_lstat, SYS_readlink, SYS_access]));
    calls
}

/// What a database does in its own folder; Landlock says which that is.
pub fn keep() -> Vec<Call> {
    const LOCKS: [i32; 3] = [libc::F_GETLK, libc::F_SETLK, libc::F_SETLKW];
    let mut calls = look_only();
    let locks = LOCKS.iter().map(|command| vec![(1, Test::Is(*command as u64))]);
    calls.push(Call::when(("fcntl", libc::SYS_fcntl), locks.collect()));
    calls.extend(plain(named![
        SYS_openat,
        SYS_close,
        SYS_write,
        SYS_writev,
        SYS_pwrite64,
        SYS_ftruncate,
        SYS_fallocate,
        SYS_fsync,
        SYS_fdatasync,
        SYS_flock,
        SYS_fchmod,
        SYS_fchmodat,
        SYS_unlinkat,
        SYS_mkdirat,
        SYS_renameat,
        SYS_renameat2,
        SYS_utimensat,
    ]));
    #[cfg(target_arch = "x86_64")]
    calls.extend(plain(named![SYS_unlink, SYS_mkdir, SYS_rmdir, SYS_rename, SYS_chmod]));
    calls
}

/// Packets over connections that are there or come in; no new socket.
pub fn answer() -> Vec<Call> {
    plain(named![
        SYS_accept4,
        SYS_listen,
        SYS_recvmsg,
        SYS_sendmsg,
        SYS_recvfrom,
        SYS_sendto,
        SYS_shutdown,
        SYS_getsockopt,
        SYS_setsockopt,
        SYS_getpeername,
        SYS_getsockname,
    ])
}

/// New sockets of these families, connecting them, and writing to them as to files (which cannot be opened for it).
pub fn connect(families: &[i32]) -> Vec<Call> {
    let ways = families.iter().map(|family| vec![(0, Test::Is(*family as u64))]).collect();
    let mut calls = plain(named![SYS_connect, SYS_bind, SYS_sendmmsg, SYS_recvmmsg, SYS_write, SYS_writev, SYS_close]);
    calls.push(Call::when(("socket", libc::SYS_socket), ways));
    calls
}

/// Libraries that are loaded late (name services): memory that can be executed, from files.
pub fn load() -> Vec<Call> {
    plain(named![SYS_mmap, SYS_mprotect])
}

/// Families of [`connect`].
pub const LOCAL: &[i32] = &[libc::AF_UNIX];
/// Families of [`connect`].
pub const INTERNET: &[i32] = &[libc::AF_INET, libc::AF_INET6];

/// What neither a role that starts programs nor any of these programs has to do: other processes' memory, mounts,
/// name spaces, kernel modules, other kernels, the clock, and parts of the kernel that were the way in before.
pub fn never() -> Vec<Call> {
    let mut calls = plain(named![
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_kcmp,
        SYS_bpf,
        SYS_perf_event_open,
        SYS_userfaultfd,
        SYS_io_uring_setup,
        SYS_io_uring_enter,
        SYS_io_uring_register,
        SYS_keyctl,
        SYS_add_key,
        SYS_request_key,
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_move_mount,
        SYS_open_tree,
        SYS_fsopen,
        SYS_fsconfig,
        SYS_fsmount,
        SYS_fspick,
        SYS_mount_setattr,
        SYS_chroot,
        SYS_unshare,
        SYS_setns,
        SYS_kexec_load,
        SYS_kexec_file_load,
        SYS_init_module,
        SYS_finit_module,
        SYS_delete_module,
        SYS_reboot,
        SYS_swapon,
        SYS_swapoff,
        SYS_acct,
        SYS_quotactl,
        SYS_quotactl_fd,
        SYS_syslog,
        SYS_settimeofday,
        SYS_clock_settime,
        SYS_clock_adjtime,
        SYS_adjtimex,
        SYS_sethostname,
        SYS_setdomainname,
        SYS_personality,
        SYS_open_by_handle_at,
        SYS_fanotify_init,
        SYS_vhangup,
        SYS_nfsservctl,
        SYS_lookup_dcookie,
    ]);
    #[cfg(target_arch = "x86_64")]
    calls.extend(plain(named![SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib]));
    const SPACES: [i32; 7] = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWCGROUP,
    ];
    let spaces = SPACES.iter().map(|bit| vec![(0, Test::Bits { mask: *bit as u64, value: *bit as u64 })]);
    const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let others = FAMILIES.iter().map(|family| (0, Test::IsNot(*family as u64))).collect();
    calls.push(Call::when(("clone", libc::SYS_clone), spaces.collect()));
    calls.push(Call::when(("socket", libc::SYS_socket), vec![others]));
    calls
}
