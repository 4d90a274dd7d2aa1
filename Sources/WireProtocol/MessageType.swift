/// The kind of a frame, its fifth byte: requests below 0x80, replies above, a reply at its request's number where
/// the two belong to each other alone.
///
/// A number is never given a second meaning; docs/wire-protocol.md lists the same numbers.
public enum MessageType: UInt8, Sendable, CaseIterable {
    case hello = 0x01
    case ping = 0x02
    case health = 0x03

    case submit = 0x10
    case claim = 0x11
    case openStream = 0x12
    case addCredit = 0x13
    case closeStream = 0x14
    case complete = 0x15
    case fail = 0x16
    case release = 0x17
    case renew = 0x18

    case cancel = 0x20
    case status = 0x21
    case result = 0x22
    case redrive = 0x23
    case deadLetters = 0x24

    case registerWorker = 0x30
    case heartbeat = 0x31
    case deregisterWorker = 0x32

    case statistics = 0x40
    case queues = 0x41
    case workers = 0x42

    case helloReply = 0x81
    case doneReply = 0x82
    case healthReply = 0x83
    case errorReply = 0x84
    case submittedReply = 0x90
    case claimedReply = 0x91
    case deliveryReply = 0x92
    case outcomesReply = 0x95
    case statusReply = 0xa1
    case resultReply = 0xa2
    case deadLettersReply = 0xa4
    case statisticsReply = 0xc0
    case queuesReply = 0xc1
    case workersReply = 0xc2

    /// Whether a broker sends it.
    public var isReply: Bool { rawValue >= 0x80 }
}
