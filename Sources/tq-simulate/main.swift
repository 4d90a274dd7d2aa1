import Simulation
let n = UInt64(CommandLine.arguments.dropFirst().first ?? "50") ?? 50
let from = UInt64(CommandLine.arguments.dropFirst(2).first ?? "1") ?? 1
let v = CommandLine.arguments.count > 3
var fails = 0, cycles = 0, steps = 0
var hits = Hits()
for seed in from..<from + n {
    let r = Simulation.run(seed: seed, observe: v ? { print($0) } : nil); cycles += r.cycles; steps += r.steps
    hits.add(r.hits)
    if let f = r.failure {
        fails += 1; print(f.split(separator: "\n").prefix(Int(n) > 3 ? 2 : 100).joined(separator: "\n"))
    }
}
for h in Hit.allCases { print("hit", h.section, h, hits[h]) }
print(fails, "of", n, "cycles", cycles, "steps", steps)
