public import ByteStore
import QueueCore
import TQModel

/// Reads everything that a store holds, and compares what can be compared.
///
/// Reading a row verifies the checksums of its block; then come those of tables, payloads and results, what records say
/// of each other, the counters against a recount, and the high-water mark.
public final class StoreVerification {
    /// One thing that is wrong.
    public struct Problem: Hashable, Sendable {
        /// The family and the key, or the file.
        public var place: String
        /// What is wrong.
        public var message: String

        public init(place: String, message: String) {
            self.place = place
            self.message = message
        }
    }

    /// What was looked at.
    public struct Report: Hashable, Sendable {
        /// Rows of all families.
        public var records: UInt64 = 0
        /// Bytes of their keys and values.
        public var bytes: UInt64 = 0
        /// Payloads of tasks that wait or run.
        public var payloads: UInt64 = 0
        /// Ended tasks with their results.
        public var outcomes: UInt64 = 0
        /// What was wrong.
        public var problems: UInt64 = 0

        public init() {}
    }

    let store: any ByteStoreReader
    private let onProblem: (Problem) -> Void
    private(set) var report = Report()
    /// The index as a broker would recover it; `nil` when it would refuse the store.
    var index: DurableIndex?
    /// Outcomes and dead letters, counted anew.
    var recount: [CounterKey: UInt64] = [:]
    /// Rows of lists that lead to a record: those that there must be, and those that there are.
    var postings: (expected: UInt64, found: UInt64) = (0, 0)
    /// The outcome record that was looked up last.
    var recentOutcomes: (location: OutcomeLocation, sequences: Set<UInt64>)?

    /// Rows that lead from tags to their tasks: those that there must be, and those that there are.
    var taggedRows: (expected: UInt64, found: UInt64) = (0, 0)
    /// Tasks whose tags something removes.
    var expiringTags: Set<TaskSequence> = []
    /// Tasks that have ended and have a history of which nothing was found yet that removes it.
    var endedHistories: Set<TaskSequence> = []

    private init(_ store: any ByteStoreReader, _ onProblem: @escaping (Problem) -> Void) {
        self.store = store
        self.onProblem = onProblem
    }

    /// Verifies a store, handing out each problem as it is found.
    public static func verify(
        _ store: any ByteStoreReader,
        mark: Mark?,
        onProblem: @escaping (Problem) -> Void
    ) -> Report {
        let verification = StoreVerification(store, onProblem)
        verification.verify(mark)
        return verification.report
    }

    private func verify(_ mark: Mark?) {
        let recovered = attempt("recovery") { () throws(StorageError) in try Recovery.recover(from: store, mark: mark) }
        index = recovered??.index
        verifyHead()
        verifySegments()
        verifyPayloads()
        verifyTransitions()
        verifyOutcomes()
        verifyDeadLetters()
        verifyIndexFamily()
        verifyCounters()
    }

    private func verifyHead() {
        scan(.default) { key, _ throws(StorageError) in
            let known = [KeyLayout.header, KeyLayout.epoch, KeyLayout.identity]
            guard known.contains(where: { key.elementsEqual($0) }) else { throw Self.contradiction("an unknown key") }
        }
        attempt(Family.default.name) { () throws(StorageError) in
            guard let (_, header, epoch) = try Recovery.readHead(store) else { return }
            if header.position.epoch > epoch || header.group.epoch != header.position.epoch {
                throw Self.contradiction(
                    "the last batch is of epoch \(header.position.epoch) and group \(header.group), the store of epoch \(epoch)"
                )
            }
            if header.previous.sequence + 1 != header.position.sequence {
                throw Self.contradiction("batch \(header.position.sequence) follows batch \(header.previous.sequence)")
            }
        }
    }

    private func verifyCounters() {
        // Without the index the recount has nothing to be compared with, and that it is missing was said before.
        guard let index else { return }
        var stored: [CounterKey: UInt64] = [:]
        for row in index.storedCounters { stored[row.key] = row.value }
        for key in Set(stored.keys).union(recount.keys).sorted() where stored[key] ?? 0 != recount[key] ?? 0 {
            report("index counters", "\(key) is \(stored[key] ?? 0), a recount gives \(recount[key] ?? 0)")
        }
    }

    // MARK: Reporting

    func report(_ place: String, _ message: String) {
        report.problems += 1
        onProblem(Problem(place: place, message: message))
    }

    /// Runs a check whose failure is a problem at that place.
    @discardableResult
    func attempt<Value>(_ place: String, _ body: () throws(StorageError) -> Value) -> Value? {
        do throws(StorageError) {
            return try body()
        } catch {
            report(error.path ?? place, error.message)
            return nil
        }
    }

    /// Reads a whole family; what is wrong with a row does not hide the next one.
    func scan(
        _ family: Family,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> Void
    ) {
        attempt(family.name) { () throws(StorageError) in
            try store.scan(family, from: [], to: nil) { key, value throws(StorageError) in
                self.verifyRow(family, key, value, body)
                return .continue
            }
        }
    }

    private func verifyRow(
        _ family: Family,
        _ key: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> Void
    ) {
        report.records += 1
        report.bytes += UInt64(key.count + value.count)
        attempt(Self.place(family, key)) { () throws(StorageError) in try body(key, value) }
    }

    func count(payloads: Int = 0, outcomes: Int = 0) {
        report.payloads += UInt64(payloads)
        report.outcomes += UInt64(outcomes)
    }

    static func contradiction(_ what: String) -> StorageError { StorageError(.corruption, what) }

    /// A family and a key in hexadecimal digits.
    static func place(_ family: Family, _ key: some Sequence<UInt8>) -> String {
        let digits = key.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        return "\(family.name) \(digits)"
    }
}
