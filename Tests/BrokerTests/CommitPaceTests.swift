import Testing

@testable import Broker

@Suite("The pace of commit groups")
struct CommitPaceTests {
    private static let millisecond: UInt64 = 1_000_000
    private static let interval: UInt64 = 1_500_000

    /// Groups that leave when each of several sessions sends a command every so often and nobody waits for anybody.
    private func groups(sessions: UInt64, every nanoseconds: UInt64, for duration: UInt64) -> Int {
        var pace = CommitPace()
        var count = 0
        var isOpen = false
        for now in stride(from: 1_000 * Self.millisecond, to: 1_000 * Self.millisecond + duration, by: 10_000) {
            for session in 0..<sessions
            where now / 10_000 % (nanoseconds / 10_000) == session * 7 % (nanoseconds / 10_000) {
                pace.waits(session, answers: 1, at: now)
                isOpen = true
            }
            guard isOpen, pace.mayLeave(at: now) else { continue }
            pace.leave(at: now)
            count += 1
            isOpen = false
        }
        return count
    }

    @Test("Many sessions with few commands each leave no more than 667 groups a second")
    func many() {
        #expect((600...680).contains(groups(sessions: 40, every: 10 * Self.millisecond, for: 1_000 * Self.millisecond)))
    }

    @Test("Few commands leave at once")
    func few() {
        #expect(groups(sessions: 3, every: 100 * Self.millisecond, for: 1_000 * Self.millisecond) == 30)
    }

    @Test("One session after another command leaves at once, however fast it is")
    func one() {
        var pace = CommitPace()
        for now in stride(from: 1_000 * Self.millisecond, to: 1_100 * Self.millisecond, by: 100_000) {
            pace.waits(1, answers: 1, at: now)
            #expect(pace.mayLeave(at: now))
            pace.leave(at: now)
        }
    }

    @Test("After a flood of full groups the next small one waits for no more than an interval")
    func flood() {
        var pace = CommitPace()
        var now = 1_000 * Self.millisecond
        for _ in 0..<10_000 {
            now += 100_000
            for session in UInt64(0)..<4 { pace.waits(session, answers: 16, at: now) }
            #expect(pace.mayLeave(at: now))
            pace.leave(at: now)
        }
        pace.waits(1, answers: 1, at: now)
        #expect(!pace.mayLeave(at: now))
        #expect(pace.mayLeave(at: now + Self.interval))
        #expect(pace.end <= now + Self.interval)
    }
}
