//! Lets the n-th system call of some work fail, as a full disk or a broken one would: seccomp(2) with a listener.
//!
//! Only for tests, here because `unsafe` has its one room. Children of the work are counted too.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc;

/// The calls that are counted: everything that reaches a file system, and the making of a child.
const CALLS: [libc::c_long; 14] = [
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_fsync,
    libc::SYS_utimensat,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_pidfd_open,
    libc::SYS_clone,
    libc::SYS_setresuid,
];

/// Runs the work in a thread of its own, in which call number `n` (from 1) is not made and answers `errno`.
/// Returns how many calls there were, and the work's answer; `None` when this kernel or user has no such filter.
pub fn nth_call_fails<T: Send>(n: usize, errno: i32, work: impl FnOnce() -> T + Send) -> Option<(usize, T)> {
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let worker = scope.spawn(move || {
            let listener = filter();
            let works = listener.is_some();
            tell.send(listener).expect("the other side waits");
            works.then(work)
        });
        let listener = told.recv().ok()??;
        let calls = answer(&listener, n, errno);
        Some((calls, worker.join().expect("the work does not panic")?))
    })
}

/// From now on each of the calls of this thread and its children waits for an answer of who has the descriptor.
fn filter() -> Option<OwnedFd> {
    let op = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = vec![op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for (left, call) in CALLS.iter().rev().enumerate().rev() {
        program.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, left as u8 + 1, 0, *call as u32));
    }
    program.push(op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    program.push(op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_USER_NOTIF));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program and its length are right and outlive the call; the descriptor is new and ours.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let fd = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &program);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Answers until nobody is left who could ask.
fn answer(listener: &OwnedFd, n: usize, errno: i32) -> usize {
    let mut calls = 0;
    loop {
        let mut wait = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry that outlives the call.
        unsafe { libc::poll(&mut wait, 1, -1) };
        if wait.revents & libc::POLLIN == 0 {
            if wait.revents & (libc::POLLHUP | libc::POLLERR) != 0 {
                return calls;
            }
            continue;
        }
        // SAFETY: both are plain structs for which zeros are right, and outlive the calls.
        unsafe {
            let mut asked: libc::seccomp_notif = std::mem::zeroed();
            if libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &mut asked) != 0 {
                continue;
            }
            calls += 1;
            let mut answer: libc::seccomp_notif_resp = std::mem::zeroed();
            answer.id = asked.id;
            match calls == n {
                true => answer.error = -errno,
                false => answer.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            }
            libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &mut answer);
        }
    }
}
