import ByteStore
import DiskFaults
import Glibc
import QueueCore

/// What a workload says of itself: what each batch made of the index, and which batches were acknowledged when.
///
/// Two kinds of lines: `decided SEQUENCE DIGEST` before a batch is written, `acknowledged SEQUENCE NANOSECONDS` after it.
public struct WorkRecord: Sendable {
    /// The digest of the index after each batch that was decided, whatever became of it.
    public private(set) var digests: [UInt64: UInt32] = [:]
    /// The batches that were acknowledged, in order, and when, on the clock of ``DiskFaults/DiskJournal``.
    public private(set) var acknowledged: [(sequence: UInt64, nanoseconds: UInt64)] = []

    /// Reads a record; a line that is not whole is left out.
    public init(_ path: String) throws(TrialFailure) {
        for line in try readText(path).split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            let words = line.split(separator: " ")
            guard words.count == 3, let sequence = UInt64(words[1]), let number = UInt64(words[2]) else {
                throw TrialFailure("\(path) has the line '\(line)', which is no record of a workload.")
            }
            if words[0] == "decided" {
                digests[sequence] = UInt32(truncatingIfNeeded: number)
            } else {
                acknowledged.append((sequence, number))
            }
        }
    }

    /// The last batch that was acknowledged before a moment; 0 for none.
    public func lastAcknowledged(before nanoseconds: UInt64) -> UInt64 {
        acknowledged.last { $0.nanoseconds < nanoseconds }?.sequence ?? 0
    }

    /// What must not be so in a store that was found; `nil` when all is well.
    public func objection(to store: FoundStore, lost nanoseconds: UInt64 = .max) -> String? {
        let last = lastAcknowledged(before: nanoseconds)
        if let problem = store.problems.first { return problem }
        guard store.sequence >= last else {
            return "batch \(last) was acknowledged, the store ends with batch \(store.sequence)"
        }
        guard store.sequence > 0, let digest = digests[store.sequence] else {
            return store.sequence == 0 ? nil : "nobody wrote batch \(store.sequence), with which the store ends"
        }
        return digest == store.digest ? nil : "batch \(store.sequence) left another index than it did in the process"
    }

    /// The digest of all that is durable in an index.
    static func digest(_ index: DurableIndex) -> UInt32 {
        CRC32C.checksum(of: index.canonicalText)
    }

    /// Writes a record, each line by one call, so that a process may be killed at any time.
    final class Writer {
        private let descriptor: CInt

        init(_ path: String) throws(StorageError) {
            descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else {
                throw StorageError(.invalid, "cannot open \(path): \(String(cString: strerror(errno)))", path: path)
            }
        }

        deinit { close(descriptor) }

        func decided(_ sequence: UInt64, _ index: DurableIndex) {
            write("decided \(sequence) \(WorkRecord.digest(index))\n")
        }

        func acknowledged(_ sequence: UInt64) { write("acknowledged \(sequence) \(DiskJournal.nanosecondsNow)\n") }

        private func write(_ line: String) {
            let bytes = Array(line.utf8)
            precondition(Glibc.write(descriptor, bytes, bytes.count) == bytes.count, "the record cannot be written")
        }
    }
}
