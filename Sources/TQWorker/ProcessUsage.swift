import Glibc

/// What this process uses, as heartbeats tell it.
struct ProcessUsage {
    private var lastTicks: UInt64?
    private var lastInstant = ContinuousClock.now

    /// Processor use since the last call in thousandths of one core, 0 the first time.
    mutating func cpuPermille() -> UInt32 {
        guard let ticks = Self.cpuTicks() else { return 0 }
        let now = ContinuousClock.now
        defer { (lastTicks, lastInstant) = (ticks, now) }
        guard let lastTicks, ticks >= lastTicks else { return 0 }
        let elapsed = (now - lastInstant) / .seconds(1)
        guard elapsed > 0 else { return 0 }
        let seconds = Double(ticks - lastTicks) / Double(max(sysconf(Int32(_SC_CLK_TCK)), 1))
        return UInt32(clamping: Int(min(seconds / elapsed * 1000, 1e9)))
    }

    /// Resident memory, 0 where the system does not say.
    static func memoryBytes() -> UInt64 {
        let fields = read("/proc/self/statm").split(separator: " ")
        guard fields.count > 1, let pages = UInt64(fields[1]) else { return 0 }
        return pages &* UInt64(clamping: sysconf(Int32(_SC_PAGESIZE)))
    }

    private static func cpuTicks() -> UInt64? {
        // The second field is the program's name in parentheses and may hold anything.
        guard let fields = read("/proc/self/stat").split(separator: ")").last?.split(separator: " "), fields.count > 12
        else { return nil }
        guard let user = UInt64(fields[11]), let system = UInt64(fields[12]) else { return nil }
        return user + system
    }

    private static func read(_ path: String) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        return withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
            let count = Glibc.read(file, buffer.baseAddress, buffer.count)
            return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : ""
        }
    }
}
