import ByteStore
import CommandLineSupport
import FoundationEssentials
import Glibc
import Storage

extension Verification {
    /// Kills the broker and looks at what single flipped bits in copies of its files lead to.
    func flipBits() async throws {
        try kill(.bitFlips)
        let probe = try DamageProbe(try StoreImage(dataDirectory: directory.path + "/data"), scratch: imageDirectory)
        for _ in 0..<plan.flips {
            let damage = probe.image.flip(chosenBy: &random)
            switch try probe.outcome(of: damage) {
            case .refused: report.flips.refused += 1
            case .detectedAtRead: report.flips.reported += 1
            case .cutOff: report.flips.cutOff += 1
            case .harmless: report.flips.harmless += 1
            case .silent(let loss):
                report.flips.silent += 1
                report.problems.append("Nobody notices the \(damage): \(loss)")
            }
        }
        try flipSettings(plan.flips / 8)
    }

    /// Flips bits of a file of settings: it is read, or refused by name, and never the end of the program.
    private func flipSettings(_ count: Int) throws {
        let settings = Array(
            "broker:\n  port: 7788\n  queue_depth_threshold: 1000\npersistence:\n  memtable_mb: 16\n".utf8
        )
        let path = directory.path + "/settings.yaml"
        for _ in 0..<count {
            var damaged = settings
            let bit = Int.random(in: 0..<settings.count * 8, using: &random)
            damaged[bit / 8] ^= 1 << UInt8(bit % 8)
            try Data(damaged).write(to: URL(filePath: path))
            var launch = ProcessLaunch([plan.broker, "--config", path, "--check-config"])
            launch.output = .nothing
            launch.errors = .nothing
            let status = try ChildProcess(launch).wait()
            if status == 0 { report.flips.harmless += 1 } else { report.flips.refused += 1 }
            // A signal in the low bits, or a shell's way to tell of one.
            guard status & 0x7f == 0, status >> 8 < 128 else {
                report.problems.append("tq-broker ends with status \(status) because of bit \(bit) of its settings")
                continue
            }
        }
        unlink(path)
    }
}
