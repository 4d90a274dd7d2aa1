/// What of a directory is on the disk after a cut.
public enum DiskImage: Hashable, Sendable {
    /// All that was written: the process died, the system did not.
    case kill
    /// What was synced, and nothing else: a name is there if its directory was synced after it was given.
    case strict
    /// What was synced, and a random part of the rest.
    ///
    /// Of each file's unsynced bytes some pages of 512 or 4096 bytes are there, perhaps with an older content; others
    /// read as before or as zeros, or the file ends earlier. Of each directory's unsynced names the first so many are
    /// there.
    case torn(seed: UInt64)
}
