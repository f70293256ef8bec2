//! Buffers, tasks and the matrix product that all of the convolution's passes share.

use std::cell::RefCell;

use gemm::Parallelism;
use rayon::prelude::*;

/// A pointer that tasks share; each writes a part of its own.
#[derive(Clone, Copy)]
pub(super) struct Shared(pub(super) *mut f32);
// SAFETY: every use below hands disjoint ranges to different tasks.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// # Safety
    /// The range lies inside the allocation and no other task touches it meanwhile.
    pub(super) unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a mut [f32] {
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }

    pub(super) unsafe fn at(self, start: usize) -> *mut f32 {
        unsafe { self.0.add(start) }
    }
}

#[derive(Default)]
pub(super) struct Scratch {
    pub(super) band: Vec<f32>,
    pub(super) columns: Vec<f32>,
    /// Output or its gradient of several images side by side, `[o, image, pixel]`.
    pub(super) side_by_side: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Buffers that live as long as the thread. Taken out while in use, so a nested call gets fresh ones.
pub(super) fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.take();
    let result = work(&mut scratch);
    SCRATCH.set(scratch);
    result
}

pub(super) fn grown(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// Runs `task(0..count)`, in parallel unless the whole work is small.
pub(super) fn run_tasks(count: usize, parallel: bool, task: impl Fn(usize) + Sync + Send) {
    if parallel && count > 1 {
        (0..count).into_par_iter().with_max_len(1).for_each(task);
    } else {
        (0..count).for_each(task);
    }
}

/// `dst = lhs · rhs` (or `+=`), each matrix as (pointer, row step, column step), on this thread.
///
/// # Safety
/// All elements addressed lie inside their allocations; `dst` overlaps neither operand.
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn multiply(
    [m, n, k]: [usize; 3],
    dst: (*mut f32, usize, usize),
    lhs: (*const f32, usize, usize),
    rhs: (*const f32, usize, usize),
    add: bool,
) {
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.0,
            dst.2 as isize,
            dst.1 as isize,
            add,
            lhs.0,
            lhs.2 as isize,
            lhs.1 as isize,
            rhs.0,
            rhs.2 as isize,
            rhs.1 as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
