//! Several threads may run a handler at the same time.

use std::{cell::Cell, rc::Rc};

fn main() {
    let count = Rc::new(Cell::new(0));
    let _ = daytime::Server::builder().command("count", move |_| {
        count.set(count.get() + 1);
        count.get().to_string()
    });
}
