import ByteStore
import QueueCore
import TQModel

/// What a queue says of its tasks.
///
/// Behind the table header (count 1; everything is covered) come retention u64, retention of dead letters u64, bytes of dead
/// letters u64, bytes of results u64, dead letters u32, outcomes u32, lease u32, timeout u32, retries u16 and crashes u16 (65,535
/// for what it does not say), the time after which priorities rise u32 and by how much at most u8 (0 and 0 for not at all), the
/// percentage u8 and the number of running tasks u32 from which a group is noisy (0 and 0 for never), and the text of the retry
/// policy, which is empty for none.
enum QueuePolicyRecord {
    private static let headByteCount = 62
    private static let unsaid: UInt16 = .max

    static func write(_ row: QueuePolicyRow, to batch: WriteBatch) {
        let key = KeyLayout.queuePolicy(row.queue)
        guard !row.policy.isEmpty else { return batch.delete(.index, key: key) }
        let retry = Array((row.policy.retryPolicy?.description ?? "").utf8)[...]
        let covered = headByteCount + retry.count
        batch.put(.index, key: key, valueByteCount: TableHeader.byteCount + covered) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            writer.write(row.policy.retentionMilliseconds)
            writer.write(row.policy.deadLetterRetentionMilliseconds)
            writer.write(row.policy.deadLetterBytesMax)
            writer.write(row.policy.resultBytesMax)
            writer.write(row.policy.deadLettersMax)
            writer.write(row.policy.outcomesMax)
            writer.write(row.policy.leaseMilliseconds)
            writer.write(row.policy.timeoutMilliseconds)
            writer.write(row.policy.retriesMax ?? unsaid)
            writer.write(row.policy.crashesMax ?? unsaid)
            writer.write(row.policy.aging?.stepMilliseconds ?? 0)
            writer.write(row.policy.aging?.most ?? 0)
            writer.write(row.policy.noisy?.percent ?? 0)
            writer.write(row.policy.noisy?.runningMin ?? 0)
            writer.write(retry)
            TableHeader(count: 1).seal(value, covered: covered)
        }
    }

    static func read(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StorageError) -> QueuePolicyRow
    {
        let queue = try KeyReader.queuePolicy(key)
        var (_, reader) = try TableHeader.open(value, "policy of a queue") { _ in value.count - TableHeader.byteCount }
        var policy = QueuePolicy(retentionMilliseconds: try reader.read())
        policy.deadLetterRetentionMilliseconds = try reader.read()
        policy.deadLetterBytesMax = try reader.read()
        policy.resultBytesMax = try reader.read()
        policy.deadLettersMax = try reader.read()
        policy.outcomesMax = try reader.read()
        policy.leaseMilliseconds = try reader.read()
        policy.timeoutMilliseconds = try reader.read()
        let retries: UInt16 = try reader.read()
        let crashes: UInt16 = try reader.read()
        policy.retriesMax = retries == unsaid ? nil : retries
        policy.crashesMax = crashes == unsaid ? nil : crashes
        let aging = PriorityAging(stepMilliseconds: try reader.read(), most: try reader.read())
        let noisy = NoisyRule(percent: try reader.read(), runningMin: try reader.read())
        guard (aging.stepMilliseconds > 0) == (aging.most > 0), (noisy.percent > 0) == (noisy.runningMin > 0),
            noisy.percent < 100
        else { throw reader.corrupt("\(aging) and \(noisy) are half of what they must be") }
        policy.aging = aging.most > 0 ? aging : nil
        policy.noisy = noisy.percent > 0 ? noisy : nil
        let retry = try reader.bytes(reader.remaining)
        if !retry.isEmpty {
            do throws(TQError) { policy.retryPolicy = try RetryPolicy(retry) } catch {
                throw reader.corrupt(error.message)
            }
        }
        guard queue > 0, !policy.isEmpty else { throw reader.corrupt("queue \(queue) says nothing") }
        return QueuePolicyRow(queue: queue, policy: policy)
    }
}
