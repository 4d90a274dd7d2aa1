import TQModel
import Testing

@testable import QueueCore

@Suite("Recovery")
struct RecoveryTests {
    private let group = GroupID(epoch: 1, counter: 1)

    /// An index in recovery that has taken one queue and one pending task of it.
    private func index() throws -> DurableIndex {
        var index = DurableIndex()
        index.beginRecovery(storeMilliseconds: 0, nextSequence: 2)
        try index.recover(NameRow(kind: .queue, number: 1, namespace: 0, name: "mail"))
        try index.recover(NameRow(kind: .type, number: 1, namespace: 0, name: "send"))
        let row = TaskRow(
            sequence: TaskSequence(1),
            createdMilliseconds: 1,
            queue: 1,
            type: 1,
            rank: Priority.normal.rank,
            bodyByteCount: 0,
            options: nil
        )
        try index.recover(segment: SegmentKey(group: group, part: 0), rows: [row])
        return index
    }

    private func transition(of sequence: UInt64, queue: UInt32?) -> Transition {
        var transition = Transition(
            sequence: TaskSequence(sequence),
            operation: .stage,
            state: .pending,
            attempts: 0,
            crashes: 0,
            token: LeaseToken(rawValue: 0)
        )
        transition.queue = queue
        return transition
    }

    @Test("A transition that names an unknown queue is refused with the numbers", arguments: [0, 2, 3, UInt32.max])
    func unknownQueue(queue: UInt32) throws {
        var index = try index()
        let error = #expect(throws: RecoveryError.self) {
            try index.recover(transitions: [transition(of: 1, queue: queue)], group: group, texts: [])
        }
        #expect(error?.description == "a transition of task 1 names queue \(queue), which is unknown")
    }

    @Test("A transition that names a known queue, or none, is taken", arguments: [1, nil] as [UInt32?])
    func knownQueue(queue: UInt32?) throws {
        var index = try index()
        try index.recover(transitions: [transition(of: 1, queue: queue)], group: group, texts: [])
        let derived = index.endRecovery()
        #expect(derived.deadSegments.isEmpty && derived.deadTransitions.isEmpty)
        #expect(index.counts(queue: 1).pending == 1)
    }
}
