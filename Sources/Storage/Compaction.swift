public import ByteStore
public import QueueCore

/// Gives the disk space of expired outcomes back.
///
/// Expiry deletes records with a range each; their bytes go when RocksDB rewrites the files that hold them, which may be
/// long after. This rewrites just the files of expired buckets, which hold nothing else.
public enum Compaction {
    /// Rewrites what is left of outcomes up to a bucket; reads and writes go on meanwhile.
    ///
    /// What is in memory tables is written first, so that the write-ahead log, which holds the outcomes once more, can go.
    public static func reclaimExpired(in store: any ByteStore, through bucket: ExpiryBucket) throws(StorageError) {
        let next = KeyLayout.next(bucket)
        try store.flush()
        try store.compact(.completed, from: nil, to: KeyLayout.outcomes(from: next))
        try store.compact(
            .index,
            from: KeyLayout.expiry(from: ExpiryBucket(rawValue: 0)),
            to: KeyLayout.expiry(from: next)
        )
    }
}
