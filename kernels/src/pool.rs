//! A thread pool: idle threads sleep, and a forked child starts its own threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

/// Work that is split into tasks; its caller and some helpers take one task at a time.
struct Job {
    /// Valid until `run` returns, which waits for every helper.
    task: *const (dyn Fn(usize) + Sync),
    tasks: usize,
    next: AtomicUsize,
    /// Number of helpers that may still join.
    seats: AtomicUsize,
    /// Helpers at work.
    helpers: Mutex<usize>,
    left: Condvar,
    failed: AtomicBool,
}

// SAFETY: `task` is Sync and outlives all use.
unsafe impl Send for Job {}
unsafe impl Sync for Job {}

impl Job {
    fn work(&self) {
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= self.tasks {
                return;
            }
            // SAFETY: see `task`.
            let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { (*self.task)(i) }));
            if outcome.is_err() {
                self.failed.store(true, Ordering::Relaxed);
            }
        }
    }
}

#[derive(Default)]
struct State {
    jobs: Vec<Arc<Job>>,
    threads: usize,
}

struct Pool {
    process: u32,
    state: Mutex<State>,
    wake: Condvar,
}

static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

/// The pool of this process. A pool from before a fork is abandoned: its threads do not exist here.
fn pool() -> &'static Pool {
    let process = std::process::id();
    loop {
        let current = POOL.load(Ordering::Acquire);
        // SAFETY: pools are never freed.
        if let Some(pool) = unsafe { current.as_ref() }.filter(|p| p.process == process) {
            return pool;
        }
        let fresh = Box::into_raw(Box::new(Pool { process, state: Mutex::default(), wake: Condvar::new() }));
        if POOL.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: no other thread has a pointer to it.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Pool {
    /// Start threads until there are `wanted`; fewer if the system refuses to start more.
    fn grow(&'static self, state: &mut State, wanted: usize) {
        while state.threads < wanted {
            let made = std::thread::Builder::new().name("splade-kernels".into()).spawn(move || self.serve());
            if made.is_err() {
                return;
            }
            state.threads += 1;
        }
    }

    fn serve(&self) {
        let mut state = locked(&self.state);
        loop {
            let open = state.jobs.iter().find(|j| j.seats.load(Ordering::Relaxed) > 0).cloned();
            let Some(job) = open else {
                state = self.wake.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            };
            job.seats.fetch_sub(1, Ordering::Relaxed);
            *locked(&job.helpers) += 1;
            drop(state);
            job.work();
            *locked(&job.helpers) -= 1;
            job.left.notify_all();
            state = locked(&self.state);
        }
    }
}

/// Run `task(0..tasks)` on at most `threads` threads, including the caller's; returns when all are done.
///
/// # Panics
/// If a task panicked.
pub fn run(threads: usize, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
    let helpers = threads.min(tasks).saturating_sub(1);
    if helpers == 0 {
        (0..tasks).for_each(task);
        return;
    }
    let job = Arc::new(Job {
        // SAFETY: the lifetime is only hidden; this function does not return before the last use.
        task: unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(
                task,
            )
        },
        tasks,
        next: AtomicUsize::new(0),
        seats: AtomicUsize::new(helpers),
        helpers: Mutex::new(0),
        left: Condvar::new(),
        failed: AtomicBool::new(false),
    });
    let pool = pool();
    {
        let mut state = locked(&pool.state);
        pool.grow(&mut state, helpers);
        state.jobs.push(job.clone());
    }
    for _ in 0..helpers {
        pool.wake.notify_one();
    }
    job.work();
    // No helper joins after this: seats are taken under the pool's lock.
    locked(&pool.state).jobs.retain(|j| !Arc::ptr_eq(j, &job));
    let mut at_work = locked(&job.helpers);
    while *at_work > 0 {
        at_work = job.left.wait(at_work).unwrap_or_else(std::sync::PoisonError::into_inner);
    }
    drop(at_work);
    assert!(!job.failed.load(Ordering::Relaxed), "a task of splade_kernels failed");
}

/// Default number of threads: the processors that affinity and the cgroup allow this
/// process, and at most `OMP_NUM_THREADS`.
pub fn default_threads() -> usize {
    let wanted = std::env::var("OMP_NUM_THREADS").ok().and_then(|v| first_number(&v));
    let allowed = quota().min(affinity());
    wanted.map_or(allowed, |n| n.min(allowed))
}

/// `OMP_NUM_THREADS` may be a list with a number for each level of nesting.
fn first_number(text: &str) -> Option<usize> {
    text.split(',').next()?.trim().parse().ok().filter(|n| *n > 0)
}

/// The cgroup's limit (and the affinity at the first call); reading it opens files, so it is read once.
fn quota() -> usize {
    static QUOTA: OnceLock<usize> = OnceLock::new();
    *QUOTA.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(target_os = "linux")]
fn affinity() -> usize {
    // SAFETY: a zeroed set is valid, and the call writes no more than its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return usize::MAX;
        }
        (libc::CPU_COUNT(&set) as usize).max(1)
    }
}

#[cfg(not(target_os = "linux"))]
fn affinity() -> usize {
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once() {
        let done: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
        for threads in [1, 2, 5] {
            run(threads, done.len(), &|i| {
                done[i].fetch_add(1, Ordering::Relaxed);
            });
        }
        assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 3));
    }

    #[test]
    fn several_callers_at_once() {
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        run(3, 10, &|i| {
                            sum.fetch_add(i, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.load(Ordering::Relaxed), 8 * 50 * 45);
    }

    #[test]
    fn a_task_may_run_tasks() {
        let sum = AtomicUsize::new(0);
        run(2, 4, &|_| {
            run(2, 4, &|i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.load(Ordering::Relaxed), 24);
    }

    #[test]
    #[should_panic(expected = "a task of splade_kernels failed")]
    fn a_failed_task_is_reported_and_the_threads_go_on() {
        let failed = catch_unwind(|| run(2, 8, &|i| assert_ne!(i, 3)));
        run(2, 8, &|_| {});
        if let Err(failure) = failed {
            std::panic::resume_unwind(failure);
        }
    }

    #[test]
    fn omp_num_threads_is_read_as_openmp_does() {
        assert_eq!(first_number("3"), Some(3));
        assert_eq!(first_number(" 4,2 "), Some(4));
        assert_eq!(first_number("0"), None);
        assert_eq!(first_number("many"), None);
    }
}
