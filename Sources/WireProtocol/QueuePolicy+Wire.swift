import TQModel

extension QueuePolicy {
    private enum Tag {
        static let retryPolicy: UInt8 = 1
        static let retriesMax: UInt8 = 2
        static let crashesMax: UInt8 = 3
        static let leaseMilliseconds: UInt8 = 4
        static let timeoutMilliseconds: UInt8 = 5
        static let retentionMilliseconds: UInt8 = 6
        static let deadLetterRetentionMilliseconds: UInt8 = 7
        static let deadLettersMax: UInt8 = 8
        static let deadLetterBytesMax: UInt8 = 9
        static let outcomesMax: UInt8 = 10
        static let resultBytesMax: UInt8 = 11
        static let aging: UInt8 = 12
        static let noisy: UInt8 = 13
    }

    init(from reader: inout FieldReader) throws(TQError) {
        self.init()
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.retryPolicy: retryPolicy = try RetryPolicy(reader.bytes(of: field))
            case Tag.retriesMax: retriesMax = try reader.integer(of: field)
            case Tag.crashesMax: crashesMax = try reader.integer(of: field)
            case Tag.leaseMilliseconds: leaseMilliseconds = try reader.integer(of: field)
            case Tag.timeoutMilliseconds: timeoutMilliseconds = try reader.integer(of: field)
            case Tag.retentionMilliseconds: retentionMilliseconds = try reader.integer(of: field)
            case Tag.deadLetterRetentionMilliseconds: deadLetterRetentionMilliseconds = try reader.integer(of: field)
            case Tag.deadLettersMax: deadLettersMax = try reader.integer(of: field)
            case Tag.deadLetterBytesMax: deadLetterBytesMax = try reader.integer(of: field)
            case Tag.outcomesMax: outcomesMax = try reader.integer(of: field)
            case Tag.resultBytesMax: resultBytesMax = try reader.integer(of: field)
            case Tag.aging:
                aging = try reader.nested(in: field) { (reader) throws(TQError) in
                    PriorityAging(stepMilliseconds: try reader.integer(), most: try reader.integer())
                }
            case Tag.noisy:
                noisy = try reader.nested(in: field) { (reader) throws(TQError) in
                    NoisyRule(percent: try reader.integer(), runningMin: try reader.integer())
                }
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(field: Tag.retryPolicy, nonEmpty: Bytes((retryPolicy?.description ?? "").utf8))
        bytes.append(field: Tag.retriesMax, integer: retriesMax)
        bytes.append(field: Tag.crashesMax, integer: crashesMax)
        bytes.append(field: Tag.leaseMilliseconds, nonZero: leaseMilliseconds)
        bytes.append(field: Tag.timeoutMilliseconds, nonZero: timeoutMilliseconds)
        bytes.append(field: Tag.retentionMilliseconds, nonZero: retentionMilliseconds)
        bytes.append(field: Tag.deadLetterRetentionMilliseconds, nonZero: deadLetterRetentionMilliseconds)
        bytes.append(field: Tag.deadLettersMax, nonZero: deadLettersMax)
        bytes.append(field: Tag.deadLetterBytesMax, nonZero: deadLetterBytesMax)
        bytes.append(field: Tag.outcomesMax, nonZero: outcomesMax)
        bytes.append(field: Tag.resultBytesMax, nonZero: resultBytesMax)
        if let aging {
            bytes.append(Tag.aging)
            bytes.appendRecord {
                $0.append(integer: aging.stepMilliseconds)
                $0.append(integer: aging.most)
            }
        }
        guard let noisy else { return }
        bytes.append(Tag.noisy)
        bytes.appendRecord {
            $0.append(integer: noisy.percent)
            $0.append(integer: noisy.runningMin)
        }
    }
}
