// Prints the best nanoseconds per operation of each benchmark; see README.md.

let arguments = CommandLine.arguments.dropFirst()
let isQuick = arguments.contains("--quick")
let filter = arguments.first { !$0.hasPrefix("-") }

for benchmark in benchmarks where filter.map(benchmark.name.contains) ?? true {
    let best = benchmark.best(rounds: isQuick ? 1 : 7, operations: isQuick ? 1000 : 500_000)
    let tenths = Int(best * 10 + 0.5)
    print("\(tenths / 10).\(tenths % 10) ns  \(benchmark.name)")
}
