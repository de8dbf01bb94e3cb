//! An allocator that counts the bytes it has given out, as asked for (not as rounded up).

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicIsize, Ordering},
};

static COUNTS: AtomicBool = AtomicBool::new(false);
static HELD: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator, counting while a [`Meter`] lives. Between meters it costs one load of
/// a flag, so that times can be taken in the same program.
#[derive(Debug)]
pub struct Counting;

fn add(bytes: usize) {
    if COUNTS.load(Ordering::Relaxed) {
        let bytes = bytes.cast_signed();
        let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
        PEAK.fetch_max(held, Ordering::Relaxed);
    }
}

fn subtract(bytes: usize) {
    if COUNTS.load(Ordering::Relaxed) {
        HELD.fetch_sub(bytes.cast_signed(), Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "the trait of allocators is unsafe")]
// SAFETY: every call goes to the system's allocator with the caller's own arguments, and what it
// gives is given back unchanged; the counters are beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            add(layout.size());
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the system's.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            add(layout.size());
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory came from the system's allocator with this layout.
        unsafe { System.dealloc(memory, layout) };
        subtract(layout.size());
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the memory came from the system's allocator with this layout.
        let memory = unsafe { System.realloc(memory, layout, size) };
        if !memory.is_null() {
            // Large blocks are moved by remapping, so old and new never count together.
            if size >= layout.size() {
                add(size - layout.size());
            } else {
                subtract(layout.size() - size);
            }
        }
        memory
    }
}

/// Counts what the whole program allocates, from its start to its drop. One at a time.
#[derive(Debug)]
pub struct Meter(());

impl Meter {
    /// Starts at nothing held.
    #[must_use]
    pub fn start() -> Self {
        HELD.store(0, Ordering::Relaxed);
        PEAK.store(0, Ordering::Relaxed);
        COUNTS.store(true, Ordering::Relaxed);
        Self(())
    }

    /// The bytes that were allocated since the start and not freed; less than none if older
    /// memory was freed.
    #[must_use]
    pub fn held(&self) -> isize {
        HELD.load(Ordering::Relaxed)
    }

    /// The most bytes held at once since the start, or since [`forget_peak`](Self::forget_peak).
    #[must_use]
    pub fn peak(&self) -> isize {
        PEAK.load(Ordering::Relaxed)
    }

    /// Lets the peak begin anew at what is held now.
    pub fn forget_peak(&self) {
        PEAK.store(self.held(), Ordering::Relaxed);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        COUNTS.store(false, Ordering::Relaxed);
    }
}
