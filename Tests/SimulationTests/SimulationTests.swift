import Simulation
import Testing

@Suite("Simulation")
struct SimulationTests {
    @Test("two hundred crashes on a failing disk break no promise")
    func crashes() {
        var cycles = 0
        var seed = UInt64.random(in: 1...UInt64(UInt32.max))
        print("the first seed is \(seed)")
        while cycles < 200 {
            let report = Simulation.run(seed: seed)
            #expect(report.failure == nil, "tools/simulate --seed \(seed) --cycles 1 --verbose")
            guard report.failure == nil else { return }
            cycles += report.cycles
            seed += 1
        }
    }

    @Test("one seed is one run")
    func determinism() {
        var events: [String] = []
        let first = Simulation.run(seed: 7) { events.append($0) }
        var position = 0
        let second = Simulation.run(seed: 7) { event in
            if events.indices.contains(position) { #expect(events[position] == event) }
            position += 1
        }
        #expect(position == events.count)
        #expect(first.digest == second.digest)
        #expect(first.steps == second.steps)
        #expect(Simulation.run(seed: 8).digest != first.digest)
    }

    @Test("a run counts what it meets")
    func hits() {
        var hits = Hits()
        for seed in UInt64(1)...12 { hits.add(Simulation.run(seed: seed).hits) }
        #expect(hits[.command(.submit)] > 0)
        #expect(hits[.fault(.powerCut)] > 0)
        #expect(hits[.event(.segmentDied)] > 0)
        #expect(hits.missing.count < Hit.allCases.count / 4)
    }
}
