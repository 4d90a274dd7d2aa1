import ByteStore
import QueueCore
import TQModel

/// A gate that is paused or has a limit.
///
/// Behind the table header (count 1; everything is covered) come since when it is paused u64 and until when u64, 0 for not and for no
/// end, how many tasks may run at once u32, 0 for any number, and the rate at which they begin: so many u32, 0 for no bound, in so many
/// milliseconds u32, and at most so many at once u32; then the weight of a group u16, 0 for what its tasks say. Then the circuit: the
/// state u8, since when u64 and the same in store time u64; and its breaker: percent of failures u8, 0 for none, how many attempts
/// must have ended u32, the window u32 and how long it stays open u32, both in milliseconds, and the probes u16.
enum GateRecord {
    private static let covered = 66

    static func write(_ row: GateRow, to batch: WriteBatch) {
        let key = KeyLayout.gate(row.key)
        guard !row.isEmpty else { return batch.delete(.index, key: key) }
        batch.put(.index, key: key, valueByteCount: TableHeader.byteCount + covered) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            writer.write(row.pausedSinceWallMilliseconds)
            writer.write(row.pausedUntilStoreMilliseconds)
            writer.write(row.runningMax)
            writer.write(row.rate.count)
            writer.write(row.rate.milliseconds)
            writer.write(row.rate.burst)
            writer.write(row.weight)
            writer.write(row.circuit.state.rawValue)
            writer.write(row.circuit.sinceWallMilliseconds)
            writer.write(row.circuit.sinceStoreMilliseconds)
            writer.write(row.circuit.breaker.failurePercent)
            writer.write(row.circuit.breaker.attemptsMin)
            writer.write(row.circuit.breaker.windowMilliseconds)
            writer.write(row.circuit.breaker.openMilliseconds)
            writer.write(row.circuit.breaker.probes)
            TableHeader(count: 1).seal(value, covered: covered)
        }
    }

    static func read(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StorageError) -> GateRow {
        var row = GateRow(key: try KeyReader.gate(key))
        var (_, reader) = try TableHeader.open(value, "gate") { _ in covered }
        row.pausedSinceWallMilliseconds = try reader.read()
        row.pausedUntilStoreMilliseconds = try reader.read()
        row.runningMax = try reader.read()
        row.rate = StartRate(try reader.read(), per: try reader.read(), burst: try reader.read())
        row.weight = try reader.read()
        row.circuit = try circuit(&reader)
        try reader.end()
        guard !row.isEmpty, row.isPaused || row.pausedUntilStoreMilliseconds == 0 else {
            throw reader.corrupt("a gate that holds nothing back")
        }
        return row
    }

    private static func circuit(_ reader: inout ByteReader) throws(StorageError) -> Circuit {
        let number: UInt8 = try reader.read()
        guard let state = CircuitState(rawValue: number) else { throw reader.corrupt("circuit state \(number)") }
        var circuit = Circuit.none
        circuit.state = state
        circuit.sinceWallMilliseconds = try reader.read()
        circuit.sinceStoreMilliseconds = try reader.read()
        circuit.breaker = CircuitBreaker(
            failurePercent: try reader.read(),
            attemptsMin: try reader.read(),
            windowMilliseconds: try reader.read(),
            openMilliseconds: try reader.read(),
            probes: try reader.read()
        )
        guard circuit.isValid else { throw reader.corrupt("a circuit that no breaker has made") }
        return circuit
    }
}
