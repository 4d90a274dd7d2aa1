import TQModel
import Testing

@testable import tq_worker

@Suite("How many processes a pool may start")
struct StartLimitTests {
    private let start = ContinuousClock.now

    @Test("no more than ten for each look at the backlog")
    func storm() {
        var limit = StartLimit()
        #expect(limit.take(4, at: start) == 4)
        #expect(limit.take(0, at: start) == 0)
        #expect(limit.take(-3, at: start) == 0)
        #expect(limit.take(50, at: start) == 6)
        #expect(limit.take(1, at: start) == 0)
        limit.renew()
        #expect(limit.take(50, at: start) == 10)
    }

    @Test("who ends early is started again after a wait that grows to a minute")
    func growing() throws {
        var limit = StartLimit()
        var now = start
        var last = Duration.zero
        for number in 0..<12 {
            let ended = limit.ended(startedAt: now, at: now + .seconds(1))
            let wait = try #require(ended)
            now += .seconds(1)
            let doubled = min(Duration.milliseconds(500) * (1 << number), .seconds(60))
            #expect((doubled / 2...doubled).contains(wait), "wait \(number) is \(wait)")
            #expect(wait >= last || doubled == .seconds(60), "wait \(number) is \(wait)")
            #expect(limit.take(1, at: now) == 0)
            now += wait
            limit.renew()
            #expect(limit.take(1, at: now) == 1)
            last = wait
        }
    }

    @Test("those that were started together and end early are one reason to wait")
    func together() {
        var limit = StartLimit()
        #expect(limit.ended(startedAt: start, at: start + .seconds(1)) != nil)
        #expect(limit.ended(startedAt: start, at: start + .seconds(1)) == nil)
        #expect(limit.ended(startedAt: start + .milliseconds(900), at: start + .seconds(2)) == nil)
    }

    @Test("who ends late is started again at once, and after a calm time the wait is short again")
    func calm() throws {
        var limit = StartLimit()
        #expect(limit.ended(startedAt: start, at: start + .seconds(10)) == nil)
        #expect(limit.take(1, at: start + .seconds(10)) == 1)
        var now = start
        for _ in 0..<8 {
            let wait = limit.ended(startedAt: now, at: now)
            now += try #require(wait)
        }
        let wait = limit.ended(startedAt: now + .seconds(61), at: now + .seconds(61))
        #expect(try #require(wait) <= .milliseconds(500))
    }
}
