import ByteStore
import QueueCore
import Synchronization
import TQModel

/// Payloads of segments that were written or read lately, bounded by bytes.
///
/// A task is mostly claimed soon after it was submitted, in the order in which it was: half of the room is for what was
/// written last, half for what was read last, so that a long backlog being drained does not fight with new tasks.
public final class PayloadCache: Sendable {
    /// A segment's payloads: a buffer that may hold other bytes too, and where each payload lies in it.
    struct Segment: Sendable {
        var bytes: [UInt8]
        var payloads: [Range<Int>]

        func payload(_ place: UInt16) -> Bytes? {
            payloads.indices.contains(Int(place)) ? bytes[payloads[Int(place)]] : nil
        }
    }

    private struct Half {
        var segments: [SegmentKey: Segment] = [:]
        var order: [(key: SegmentKey, byteCount: Int)] = []
        var first = 0
        var byteCount = 0

        mutating func insert(_ key: SegmentKey, _ segment: Segment, byteCount added: Int, limit: Int) {
            guard segments.updateValue(segment, forKey: key) == nil else { return }
            order.append((key, added))
            byteCount += added
            while byteCount > limit, first < order.count {
                byteCount -= order[first].byteCount
                segments[order[first].key] = nil
                first += 1
            }
            if first > 256, first * 2 > order.count {
                order.removeFirst(first)
                first = 0
            }
        }
    }

    private let limit: Int
    private let halves = Mutex((written: Half(), read: Half()))

    /// - Parameter byteCountMax: How many bytes of payloads are kept at most; 0 for none.
    public init(byteCountMax: Int) { self.limit = byteCountMax / 2 }

    func segment(_ key: SegmentKey) -> Segment? {
        halves.withLock { $0.written.segments[key] ?? $0.read.segments[key] }
    }

    func insertRead(_ key: SegmentKey, _ segment: Segment) {
        halves.withLock { $0.read.insert(key, segment, byteCount: segment.bytes.count, limit: limit) }
    }

    /// Keeps the payloads of a group that was just written, sharing its buffer.
    func insert(_ effects: EffectBatch) {
        guard !effects.segments.isEmpty, limit > 0 else { return }
        let segments = effects.segments.map { span in (span, Segment(effects, span)) }
        halves.withLock { halves in
            for (span, segment) in segments {
                halves.written.insert(span.key, segment, byteCount: span.bodyByteCount + 64, limit: limit)
            }
        }
    }
}

extension PayloadCache.Segment {
    fileprivate init(_ effects: EffectBatch, _ span: SegmentSpan) {
        var position = span.firstBody
        self.bytes = effects.bodies
        self.payloads = effects.tasks[span.firstTask..<span.firstTask + span.taskCount].map { row in
            defer { position += Int(row.bodyByteCount) }
            return position..<position + Int(row.bodyByteCount)
        }
    }
}
