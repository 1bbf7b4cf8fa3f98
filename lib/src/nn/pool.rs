//! Work → the same work on threads of its own.

use std::sync::{Mutex, PoisonError};

use rayon::{BroadcastContext, ThreadPool, ThreadPoolBuilder};

/// Idle pools that are kept for the next work; more were needed at once and go.
const IDLE: usize = 4;

/// Pools of threads, each for one caller at a time; who makes passes owns one.
#[derive(Debug, Default)]
pub struct Pool {
    idle: Mutex<Vec<ThreadPool>>,
}

impl Pool {
    /// Runs `work` on a thread of a pool that nobody else uses meanwhile; inside of any pool, where it is. From outside of a pool
    /// each parallel operation has to wake another thread and wait for it; inside, there is one such turn for all of `work`. A pool
    /// of its own, since a thread that waits in a shared one may begin with the work of another caller, and wait for a lock that
    /// it holds itself. And always on its first thread: the allocator keeps what was freed for the thread that used it, so that
    /// steps which change places would hold the memory of a step once for each thread.
    ///
    /// # Panics
    /// Where `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if rayon::current_thread_index().is_some() {
            return work();
        }
        let taken = self.idle().pop();
        let Some(pool) = taken.or_else(|| ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build().ok()) else {
            return work();
        };
        let work = Mutex::new(Some(work));
        let on_first = |worker: BroadcastContext| {
            let work = if worker.index() == 0 { work.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };
            work.map(|work| work())
        };
        let result = pool.broadcast(on_first).into_iter().flatten().next();
        let mut idle = self.idle();
        if idle.len() < IDLE {
            idle.push(pool);
        }
        drop(idle);
        result.expect("a pool has a first thread, and it did the work or panicked")
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<ThreadPool>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;

    #[test]
    fn calls_one_after_the_other_are_on_one_thread_and_have_the_others() {
        let pool = Pool::default();
        let first = pool.run(|| std::thread::current().id());
        for _ in 0..200 {
            let (this, other) = pool.run(|| rayon::join(|| std::thread::current().id(), rayon::current_num_threads));
            assert_eq!((this, other), (first, rayon::current_num_threads()));
        }
    }
}
