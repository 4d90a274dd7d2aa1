import CommandLineSupport
import Histogram

/// The figures of one run.
struct Measurement {
    var scenario: String
    var configuration: String
    var tasks: Int
    var seconds: Double
    /// Processor time of the broker.
    var cpuSeconds: Double
    var residentBytes: Int
    /// Bytes that the machine's disks wrote meanwhile.
    var deviceBytes: UInt64
    var run: LoadRun

    private struct Row {
        var name: String
        var value: String
    }

    func print(_ format: OutputFormat) {
        var rows = [
            Row(name: "scenario", value: scenario),
            Row(name: "configuration", value: configuration),
            Row(name: "tasks", value: "\(tasks)"),
            Row(name: "seconds", value: decimal(seconds)),
            Row(name: "tasks_per_second", value: "\(Int(Double(tasks) / seconds))"),
            Row(name: "broker_cpu_percent", value: decimal(cpuSeconds / seconds * 100)),
            Row(name: "broker_cpu_us_per_task", value: decimal(cpuSeconds * 1e6 / Double(tasks))),
            Row(name: "broker_rss_mb", value: decimal(Double(residentBytes) / 1e6)),
            Row(name: "disk_bytes_per_task", value: "\(deviceBytes / UInt64(tasks))"),
        ]
        rows += latency("submit", run.submitLatency)
        rows += latency("assignment", run.claimLatency)
        rows += latency("complete", run.completeLatency)
        let columns = [Column<Row>("FIGURE", "figure") { $0.name }, Column<Row>("VALUE", "value") { $0.value }]
        Listing(columns).print(rows, format: format)
    }

    private func latency(_ what: String, _ histogram: Histogram<UInt32>) -> [Row] {
        guard histogram.totalCount > 0 else { return [] }
        return [50.0, 90, 99, 99.9, 100].map { percentile in
            let name = percentile == 100 ? "max" : "p\(percentile == 99.9 ? "99.9" : "\(Int(percentile))")"
            return Row(name: "\(what)_us_\(name)", value: "\(histogram.valueAtPercentile(percentile))")
        }
    }

    private func decimal(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }
}
