import Compression
import Logging
public import TQModel

// What is compressed on its way out, and plain again on its way in.

extension TQClient {
    /// What the submitter of a dead letter gave for the worker, decompressed if need be.
    ///
    /// - Throws: `invalidArgument` when it cannot be decompressed.
    public func payload(of letter: DeadLetter) throws(TQError) -> Bytes {
        var (payload, content) = (letter.payload, letter.status.payloadContent)
        try coding.decode(&payload, &content, of: "payload of task \(letter.status.id)")
        return payload
    }

    func decode(_ result: inout TaskResult) throws(TQError) {
        let id = result.id
        try coding.decode(&result.result, &result.content, of: "result of task \(id)")
    }

    /// A delivery with a plain payload.
    ///
    /// - Throws: `invalidArgument` when the payload cannot be decompressed.
    package func decoded(_ delivery: Delivery) throws(TQError) -> Delivery {
        guard delivery.content.encoding != .identity else { return delivery }
        var decoded = delivery
        try coding.decode(&decoded.payload, &decoded.content, of: "payload of task \(delivery.lease.task)")
        return decoded
    }

    /// The same for who has no handler that could fail: the attempt fails for good, which is told to the broker.
    func decodedOrFailed(_ delivery: Delivery) -> Delivery? {
        do throws(TQError) { return try decoded(delivery) } catch {
            options.logger.error("a payload cannot be decompressed", metadata: ["error": "\(error)"])
            report(.fail([Failure(lease: delivery.lease, error: Bytes(error.message.utf8), isPermanent: true)])) { _ in
            }
            return nil
        }
    }

    /// Payloads of one claim, decompressed: a few times what a reply holds.
    private static let claimedByteCountMax = 64 << 20

    /// Deliveries with plain payloads; what memory should not hold together is given back.
    func decodedOrFailed(_ deliveries: [Delivery]) -> [Delivery] {
        guard deliveries.contains(where: { $0.content.encoding != .identity }) else { return deliveries }
        var decoded: [Delivery] = []
        var byteCount = 0
        for (place, delivery) in deliveries.enumerated() {
            guard byteCount <= Self.claimedByteCountMax else {
                giveBack(Array(deliveries[place...]))
                break
            }
            guard let plain = decodedOrFailed(delivery) else { continue }
            byteCount += plain.payload.count
            decoded.append(plain)
        }
        return decoded
    }

    /// Compresses the payload of a task, if it is to be; so do the others below.
    func encode(_ task: inout TaskSpec) throws(TQError) { try coding.encode(&task.payload, &task.content) }

    func encode(_ tasks: inout [TaskSpec]) throws(TQError) {
        guard coding.isEncoding else { return }
        for index in tasks.indices { try encode(&tasks[index]) }
    }

    func encode(_ redrive: inout Redrive) throws(TQError) {
        guard var payload = redrive.payload else { return }
        try coding.encode(&payload, &redrive.content)
        redrive.payload = payload
    }

    /// Compresses the result, and the payloads of follow-ups.
    package func encode(_ completion: inout Completion) throws(TQError) {
        try coding.encode(&completion.result, &completion.content)
        try encode(&completion.followUps)
    }

    func encode(_ completions: inout [Completion]) throws(TQError) {
        guard coding.isEncoding else { return }
        for index in completions.indices { try encode(&completions[index]) }
    }
}
