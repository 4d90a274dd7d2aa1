import TQModel

extension ClaimSpec {
    private enum Tag {
        static let worker: UInt8 = 1
        static let leaseMilliseconds: UInt8 = 2
    }

    init(from reader: inout FieldReader) throws(TQError) {
        let count: UInt32 = try reader.integer()
        let waitMilliseconds: UInt64 = try reader.integer()
        let queues = try reader.list(max: Limits.claimQueuesMax, itemBytesMin: 1) { (reader) throws(TQError) in
            try reader.name()
        }
        let types = try reader.list(max: Limits.claimTypesMax, itemBytesMin: 1) { (reader) throws(TQError) in
            TypePattern(bytes: try reader.shortBytes())
        }
        self.init(queues: queues, types: types, count: count, waitMilliseconds: waitMilliseconds)
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.worker: worker = try reader.name(of: field)
            case Tag.leaseMilliseconds: leaseMilliseconds = try reader.integer(of: field)
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(integer: count)
        bytes.append(integer: waitMilliseconds)
        bytes.append(list: queues) { $0.append(name: $1) }
        bytes.append(list: types) { $0.append(shortBytes: $1.bytes) }
        if let worker { bytes.append(field: Tag.worker, bytes: worker.bytes) }
        bytes.append(field: Tag.leaseMilliseconds, nonZero: leaseMilliseconds)
    }

    func checkLimits() throws(TQError) {
        try worker?.checkLength()
        for queue in queues { try queue.checkLength() }
        for type in types { try Name(bytes: type.bytes).checkLength() }
        guard queues.count <= Limits.claimQueuesMax else {
            throw .tooMany(queues.count, max: Limits.claimQueuesMax, in: .claim)
        }
        guard types.count <= Limits.claimTypesMax else {
            throw .tooMany(types.count, max: Limits.claimTypesMax, in: .claim)
        }
    }
}
