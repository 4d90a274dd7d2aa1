import CommandLineSupport
import Histogram

/// A measured value; its name ends with its unit.
struct Figure {
    let name: String
    let value: JSONValue

    init(_ name: String, _ text: String) {
        self.name = name
        value = .string(text)
    }

    init(_ name: String, _ count: some BinaryInteger) {
        self.name = name
        value = .integer(Int64(count))
    }

    /// Kept to a hundredth.
    init(_ name: String, _ number: Double) {
        self.name = name
        value = .number((number * 100).rounded() / 100)
    }

    private var text: String {
        if case .string(let text) = value { text } else { value.text }
    }

    /// Prints figures: a line each, or a JSON object.
    static func print(_ figures: [Figure], _ format: OutputFormat) {
        let columns = figures.map { figure in
            Column<Void>(figure.name, figure.name, json: { _ in figure.value }, text: { _ in figure.text })
        }
        Listing(columns).print((), format: format)
    }
}

/// What a broker used between two moments.
struct Usage {
    var seconds: Double
    /// Processor time of the broker.
    var cpuSeconds: Double
    /// At the end.
    var residentBytes: Int
    /// Bytes that the machine's disks wrote meanwhile.
    var deviceBytes: UInt64

    func figures(tasks: Int) -> [Figure] {
        [
            Figure("seconds", seconds),
            Figure("tasks_per_second", Int(Double(tasks) / seconds)),
            Figure("broker_cpu_percent", cpuSeconds / seconds * 100),
            Figure("broker_cpu_us_per_task", cpuSeconds * 1e6 / Double(tasks)),
            Figure("broker_rss_mb", Double(residentBytes) / 1e6),
            Figure("disk_bytes_per_task", deviceBytes / UInt64(tasks)),
        ]
    }
}

extension LoadRun {
    /// How long things took, in microseconds.
    var latencyFigures: [Figure] {
        Self.figures("submit", submitLatency) + Self.figures("assignment", claimLatency)
            + Self.figures("complete", completeLatency)
    }

    static func figures(_ what: String, _ histogram: Histogram<UInt32>) -> [Figure] {
        guard histogram.totalCount > 0 else { return [] }
        return [50.0, 90, 99, 99.9, 100].map { percentile in
            let name = percentile == 100 ? "max" : "p\(percentile == 99.9 ? "99.9" : "\(Int(percentile))")"
            return Figure("\(what)_us_\(name)", histogram.valueAtPercentile(percentile))
        }
    }
}

/// What several runs measured.
struct Spread {
    private let values: [Double]

    init(_ values: [Double]) { self.values = values.sorted() }

    var median: Double { values[values.count / 2] }

    private var range: [(String, Double)] {
        [("median", median), ("min", values[0]), ("max", values[values.count - 1])]
    }

    func figures(_ name: String) -> [Figure] { range.map { Figure("\(name)_\($0)", $1) } }

    /// The same without fractions.
    func wholeFigures(_ name: String) -> [Figure] { range.map { Figure("\(name)_\($0)", Int($1)) } }
}

/// A target in words, and whether it is met.
func verdict(_ target: String, _ isMet: Bool) -> String { "\(target): \(isMet ? "met" : "MISSED")" }
