//! A slice and an index → the address of some of its numbers: the one way on which the instructions of
//! [`crate::cpu::microkernel`] reach memory. With the feature `checked` each address is compared with its slice first.
//!
//! Without the feature nothing is compared: who calls must have proved the bound, as the `SAFETY` comment there says.

use std::marker::PhantomData;

/// The address of `count` numbers of a slice, from `index` on.
///
/// # Safety
/// `index + count <= slice.len()`.
#[inline(always)]
pub unsafe fn part<T>(slice: &[T], index: usize, count: usize) -> *const T {
    check(slice.len(), index, count);
    // SAFETY: the caller promises that the numbers are inside of the slice.
    unsafe { slice.as_ptr().add(index) }
}

/// [`part`] to be written.
///
/// # Safety
/// `index + count <= slice.len()`.
#[inline(always)]
pub unsafe fn part_mut<T>(slice: &mut [T], index: usize, count: usize) -> *mut T {
    check(slice.len(), index, count);
    // SAFETY: the caller promises that the numbers are inside of the slice.
    unsafe { slice.as_mut_ptr().add(index) }
}

#[inline(always)]
fn check(length: usize, index: usize, count: usize) {
    if cfg!(feature = "checked") {
        assert!(index <= length && count <= length - index, "{count} numbers from {index} on, of {length}");
    }
}

/// A place that moves on through a slice.
pub struct Walk<'a, T> {
    at: *const T,
    #[cfg(feature = "checked")]
    slice: &'a [T],
    borrowed: PhantomData<&'a [T]>,
}

impl<'a, T: Copy> Walk<'a, T> {
    /// At the first number.
    #[inline(always)]
    pub fn new(slice: &'a [T]) -> Self {
        Self {
            at: slice.as_ptr(),
            #[cfg(feature = "checked")]
            slice,
            borrowed: PhantomData,
        }
    }

    /// The number so many places further.
    ///
    /// # Safety
    /// It is inside of the slice.
    #[inline(always)]
    pub unsafe fn read(&self, further: usize) -> T {
        #[cfg(feature = "checked")]
        check(self.slice.len(), (self.at as usize - self.slice.as_ptr() as usize) / size_of::<T>() + further, 1);
        // SAFETY: the caller promises that the number is inside of the slice.
        unsafe { *self.at.add(further) }
    }

    /// Moves on; it may leave the slice, as long as nothing is read there.
    #[inline(always)]
    pub fn step(&mut self, by: usize) {
        self.at = self.at.wrapping_add(by);
    }
}

#[cfg(all(test, feature = "checked"))]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn an_address_behind_the_end_is_refused() {
        let refused = |index, count| {
            // SAFETY: the check panics before an address outside of the slice is made.
            let (reads, writes) =
                unsafe { (catch_unwind(|| part(&[0f32; 8], index, count)), catch_unwind(|| part_mut(&mut [0f32; 8], index, count))) };
            assert_eq!(reads.is_err(), writes.is_err());
            reads.is_err()
        };
        assert!(!refused(0, 8) && !refused(7, 1) && !refused(8, 0));
        assert!(refused(0, 9) && refused(7, 2) && refused(9, 0) && refused(usize::MAX, 2));
    }

    #[test]
    fn a_walk_reads_nothing_behind_the_end() {
        let numbers = [1u32, 2, 3, 4];
        let mut walk = Walk::new(&numbers);
        walk.step(3);
        // SAFETY: 3 is inside of the slice; for 4 the check panics before the read.
        let (last, behind) = unsafe { (walk.read(0), catch_unwind(|| walk.read(1))) };
        assert_eq!(last, 4);
        assert!(behind.is_err());
    }
}
