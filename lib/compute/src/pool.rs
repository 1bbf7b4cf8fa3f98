//! Work → the same work on threads that nobody else uses meanwhile.

use std::sync::{Mutex, PoisonError};

use rayon::{BroadcastContext, ThreadPool, ThreadPoolBuilder};

/// Threads for work that waits for parallel operations again and again. From outside of a pool each operation has to wake
/// another thread and wait for it; inside, there is one such turn for all of the work.
///
/// Each piece of work has threads of its own, since a thread that waits in a shared pool may begin with the work of another
/// caller, and wait for a lock that it holds itself. They are kept for the next piece: as many sets as were at work at once, but
/// no more than the pool was made for.
#[derive(Debug)]
pub struct Pool {
    most: usize,
    idle: Mutex<Vec<ThreadPool>>,
}

impl Pool {
    /// Keeps up to `most` sets of threads that are idle.
    pub const fn new(most: usize) -> Self {
        Self { most, idle: Mutex::new(Vec::new()) }
    }

    /// What `work` gives, on the first of as many threads as rayon uses here; on this thread where it is one of a pool already, or
    /// where the system has no threads left.
    ///
    /// Always on the first: the allocator keeps what was freed for the thread that used it, so that passes which change places
    /// would hold the memory of a pass once for each thread.
    ///
    /// # Panics
    /// When `work` panics, with what it panicked with.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if rayon::current_thread_index().is_some() {
            return work();
        }
        let taken = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(threads) = taken.or_else(|| ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build().ok()) else {
            return work();
        };
        let work = Mutex::new(Some(work));
        let on_first = |worker: BroadcastContext| {
            let work = if worker.index() == 0 { work.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };
            work.map(|work| work())
        };
        let result = threads.broadcast(on_first).into_iter().flatten().next();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.most {
            idle.push(threads);
        }
        drop(idle);
        result.expect("a pool has a first thread, and it did the work or panicked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_one_after_the_other_are_on_one_thread_and_have_the_others() {
        let pool = Pool::new(1);
        let first = pool.run(|| std::thread::current().id());
        for _ in 0..200 {
            let (this, other) = pool.run(|| rayon::join(|| std::thread::current().id(), rayon::current_num_threads));
            assert_eq!((this, other), (first, rayon::current_num_threads()));
        }
        let inside = pool.run(|| pool.run(|| std::thread::current().id()));
        assert_eq!(inside, first, "work within work stays where it is");
    }

    #[test]
    fn work_at_once_has_threads_of_its_own_of_which_few_stay() {
        let (pool, together) = (Pool::new(2), std::sync::Barrier::new(4));
        let one = || {
            pool.run(|| {
                together.wait();
                std::thread::current().id()
            })
        };
        let mut ids: Vec<String> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            running.into_iter().map(|running| format!("{:?}", running.join().unwrap())).collect()
        });
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4);
        assert_eq!(pool.idle.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_panic_of_the_work_is_the_callers() {
        let pool = Pool::new(1);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.run(|| panic!("as said")))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"as said"));
        assert_eq!(pool.run(|| 3), 3);
    }
}
