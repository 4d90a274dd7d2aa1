public import ByteStore
public import QueueCore

/// Gives the disk space of outcomes back that are gone.
///
/// What is deleted goes from the disk when RocksDB rewrites the files that hold it, which may be long after. This rewrites just
/// the files of expired buckets, which hold nothing else, and those of records that were forgotten before their time.
public enum Compaction {
    /// Rewrites what is left of outcomes up to a bucket, and of those that were forgotten; reads and writes go on meanwhile.
    ///
    /// What is in memory tables is written first, so that the write-ahead log, which holds the outcomes once more, can go.
    ///
    /// - Parameter forgotten: Where outcomes were that are gone before their time; `nil` for nowhere.
    public static func reclaim(
        in store: any ByteStore,
        expiredThrough bucket: ExpiryBucket,
        forgotten: ClosedRange<OutcomeLocation>?
    ) throws(StorageError) {
        let next = KeyLayout.next(bucket)
        try store.flush()
        if let forgotten {
            let (lower, upper) = (forgotten.lowerBound, forgotten.upperBound)
            try store.compact(
                .completed,
                from: KeyLayout.outcomes(lower),
                to: KeyLayout.outcomes(upper) + [0]
            )
            try store.compact(
                .index,
                from: Posting.outcomes(from: lower.bucket),
                to: Posting.outcomes(from: KeyLayout.next(upper.bucket))
            )
        }
        try store.compact(.completed, from: nil, to: KeyLayout.outcomes(from: next))
        try store.compact(
            .index,
            from: KeyLayout.expiry(from: ExpiryBucket(rawValue: 0)),
            to: KeyLayout.expiry(from: next)
        )
    }
}
