//! Death after the n-th step of an order, as `kill -9` would: nothing of the actor cleans up.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use model::packet::ToAct;

use super::node::Node;

/// Runs `packet` and dies after its n-th step, told by `seen`; `None` when it had fewer steps.
pub fn die_after(node: &Node, n: usize, packet: &ToAct, mut seen: impl FnMut(&str) + Send + 'static) -> Option<()> {
    let count = AtomicUsize::new(0);
    let mut actor = node.open_with(Box::new(move |name| {
        seen(name);
        if count.fetch_add(1, Ordering::Relaxed) + 1 == n {
            resume_unwind(Box::new("killed here"));
        }
    }));
    catch_unwind(AssertUnwindSafe(|| actor.handle(packet.clone()))).is_err().then_some(())
}

/// Death once more at the first step, while the first one is cleaned up.
pub fn die_while_opening(node: &Node) {
    let dies = || node.open_with(Box::new(|_| resume_unwind(Box::new("killed here"))));
    let _ = catch_unwind(AssertUnwindSafe(dies));
}
