//! Memory of large batches, taken and given back in steps: the system's part of it is slow.

/// Some fractions of a millisecond.
const BYTES_AT_ONCE: usize = 1 << 20;

const fn step<T>() -> usize {
    match size_of::<T>() {
        0 => BYTES_AT_ONCE,
        size => BYTES_AT_ONCE / size,
    }
}

/// So many zeros, for a list that is written in no order: whose first writes would each take a page.
pub(super) async fn zeros(count: usize) -> Vec<u64> {
    let mut zeros = Vec::with_capacity(count);
    while zeros.len() < count {
        let more = (count - zeros.len()).min(step::<u64>());
        zeros.resize(zeros.len() + more, 0);
        if zeros.len() < count {
            tokio::task::yield_now().await;
        }
    }
    zeros
}

/// Drops a list of what needs no drop.
pub(crate) async fn free<T: Copy>(mut list: Vec<T>) {
    // Shrinking a large list gives back the pages behind it; a few large steps, because some
    // allocators copy.
    let step = step::<T>().max(list.len() / 32);
    while list.len() > step {
        list.truncate(list.len() - step);
        list.shrink_to_fit();
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn zeros_are_as_many_as_asked_for() {
        for count in [0, 1, step::<u64>(), 3 * step::<u64>() + 1] {
            let zeros = zeros(count).await;
            assert!(zeros.len() == count && zeros.iter().all(|zero| *zero == 0), "{count}");
        }
    }
}
