import Simulation
let n = UInt64(CommandLine.arguments.dropFirst().first ?? "50") ?? 50
let from = UInt64(CommandLine.arguments.dropFirst(2).first ?? "1") ?? 1
var fails = 0, cycles = 0, steps = 0
for seed in from..<from+n { let r = Simulation.run(seed: seed); cycles += r.cycles; steps += r.steps
 if let f = r.failure { fails += 1; print(f.split(separator: "\n").prefix(Int(n) > 3 ? 2 : 100).joined(separator: "\n")) } }
print(fails, "of", n, "cycles", cycles, "steps", steps)
