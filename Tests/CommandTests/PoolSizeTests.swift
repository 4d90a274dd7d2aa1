import TQModel
import Testing

@testable import tq_worker

@Suite("How many workers a pool wants")
struct PoolSizeTests {
    private let start = ContinuousClock.now

    private func makeSize(_ bounds: ClosedRange<Int> = 1...20, coolDown: Duration = .seconds(30)) -> PoolSize {
        PoolSize(bounds: bounds, tasksPerWorker: 10, coolDown: coolDown)
    }

    @Test(
        "as many as the tasks ask for, a started ten for one more, between the bounds",
        arguments: [(0, 1), (10, 1), (11, 2), (20, 2), (199, 20), (200, 20), (201, 20), (UInt64.max, 20)]
    )
    func rounding(tasks: UInt64, wanted: Int) {
        #expect(makeSize().workers(for: tasks) == wanted)
    }

    @Test("a pool may have no worker as long as there are no tasks")
    func none() {
        var size = makeSize(0...5)
        #expect(size.wanted == 0)
        size.observe(1, at: start)
        #expect(size.wanted == 1)
        size.observe(0, at: start + .seconds(1))
        #expect(size.wanted == 1)
        size.observe(0, at: start + .seconds(31))
        #expect(size.wanted == 0)
    }

    @Test("it shrinks to the most that was asked for in the cool-down")
    func lull() {
        var size = makeSize()
        for (second, tasks, wanted) in [
            (0, 150, 15), (1, 20, 15), (10, 70, 15), (20, 0, 15), (30, 30, 15), (31, 30, 7), (32, 30, 7), (61, 30, 7),
            (62, 30, 3), (63, 31, 4),
        ] as [(Int, UInt64, Int)] {
            size.observe(tasks, at: start + .seconds(second))
            #expect(size.wanted == wanted, "after \(second) s")
        }
    }

    @Test("time without an answer of the broker is no part of a cool-down")
    func silence() {
        var size = makeSize()
        size.observe(150, at: start)
        size.observe(0, at: start + .seconds(1))
        size.observe(nil, at: start + .seconds(10))
        size.observe(nil, at: start + .seconds(100))
        size.observe(0, at: start + .seconds(101))
        #expect(size.wanted == 15)
        size.observe(0, at: start + .seconds(130))
        #expect(size.wanted == 15)
        size.observe(0, at: start + .seconds(131))
        #expect(size.wanted == 1)
    }

    @Test("whatever comes, it is within the bounds, grows at once, and shrinks only after a whole cool-down of less")
    func random() {
        var shrinks = 0
        for seed in [1, 2, 3, UInt64.random(in: .min ... .max)] {
            var random = SplitMix64(seed: seed)
            let lower = Int.random(in: 0...5, using: &random)
            let bounds = lower...(lower + Int.random(in: 1...30, using: &random))
            let coolDown = Duration.seconds(Int.random(in: 0...60, using: &random))
            var size = makeSize(bounds, coolDown: coolDown)
            var now = start
            // What was asked for, and when; emptied when nobody knows.
            var asked: [(time: ContinuousClock.Instant, workers: Int)] = []
            for step in 0..<2000 {
                now += .milliseconds(Int.random(in: 0...10_000, using: &random))
                let isKnown = Int.random(in: 0..<30, using: &random) > 0
                // Small numbers are frequent, so that the pool shrinks too.
                let tasks: UInt64? = isKnown ? random.next() >> UInt64.random(in: 54...63, using: &random) : nil
                let before = size.wanted
                size.observe(tasks, at: now)
                let place = "seed \(seed), step \(step): \(tasks ?? 0) tasks, \(before) to \(size.wanted)"
                #expect(bounds.contains(size.wanted), "\(place)")
                guard let tasks else {
                    asked = []
                    #expect(size.wanted == before, "\(place)")
                    continue
                }
                let workers = size.workers(for: tasks)
                asked.append((now, workers))
                #expect(size.wanted >= workers, "\(place)")
                #expect(size.wanted <= max(before, workers), "\(place)")
                guard size.wanted < before else { continue }
                shrinks += 1
                let lull = Array(asked.reversed().prefix { $0.workers < before })
                #expect(lull.last.map { now - $0.time >= coolDown } ?? false, "\(place)")
                let most = lull.map(\.workers).max() ?? 0
                #expect(size.wanted <= most, "\(place)")
            }
        }
        #expect(shrinks > 0)
    }
}
