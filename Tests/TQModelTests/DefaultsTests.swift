import TQModel
import Testing

@Suite("Defaults and limits")
struct DefaultsTests {
    @Test("Every default is the documented one")
    func defaults() {
        #expect(Defaults.queue == "default")
        #expect(Defaults.leaseMilliseconds == 30_000)
        #expect(Defaults.timeoutMilliseconds == 300_000)
        #expect(Defaults.retriesMax == 3)
        #expect(Defaults.crashesMax == 3)
        #expect(Defaults.backoffMillisecondsMin == 5_000)
        #expect(Defaults.backoffMillisecondsMax == 3_600_000)
        #expect(Defaults.retentionMilliseconds == 604_800_000)
        #expect(Defaults.idempotencyWindowMilliseconds == 86_400_000)
        #expect(Defaults.automaticIdempotencyWindowMilliseconds == 120_000)
        #expect(Defaults.queueDepthThreshold == 100_000)
        #expect(Defaults.workerInactivityMilliseconds == 60_000)
    }

    @Test("A task asks for the defaults when nobody says otherwise")
    func taskSpec() {
        let spec = TaskSpec(type: "t")
        #expect(spec.queue == "default")
        #expect(spec.rank.priority == Priority(150))
        #expect(spec.start == .now)
        #expect(spec.retriesMax == nil)
        #expect(spec.idempotencyKey.isEmpty)
    }

    @Test("Every limit is the documented one")
    func limits() {
        #expect(Limits.frameBytesMax == 16_777_216)
        #expect(Limits.payloadBytesMax == 10_485_760)
        #expect(Limits.nameBytesMax == 255)
        #expect(Limits.idempotencyKeyBytesMax == 255)
        #expect(Limits.errorBytesMax == 4_096)
        #expect(Limits.batchCountMax == 10_000)
        #expect(Limits.claimQueuesMax == 256)
        #expect(Limits.claimTypesMax == 256)
        #expect(Limits.claimCountMax == 1_000)
        #expect(Limits.namesMax == 1_000_000)
        #expect(Limits.waitMillisecondsMax == 3_600_000)
        #expect(Limits.durationMillisecondsMax == 31_622_400_000)
        #expect(Limits.retriesMax == 10_000)
    }

    @Test("States have their numbers and names for ever, and a state's name leads back to it")
    func states() {
        #expect(TaskState.allCases.map(\.rawValue) == Array(1...8))
        for state in TaskState.allCases { #expect(TaskState(name: state.name) == state) }
        #expect(TaskState(name: "Pending") == nil)
        #expect(TaskState.allCases.filter(\.isWaiting) == [.scheduled, .blocked, .pending, .failed])
        #expect(TaskState.allCases.filter(\.isFinal) == [.completed, .cancelled])
    }

    @Test("Counts keep each state apart, and the depth of a queue is what waits")
    func counts() {
        var counts = TaskCounts()
        for state in TaskState.allCases { counts[state] = 1 << UInt64(state.rawValue) }
        for state in TaskState.allCases { #expect(counts[state] == 1 << UInt64(state.rawValue)) }
        #expect(counts.waiting == 2 + 4 + 8 + 32)
    }
}
