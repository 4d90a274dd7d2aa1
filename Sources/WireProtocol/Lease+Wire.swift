import TQModel

/// What workers say about the leases they hold, and what they are given.
extension Completion {
    private enum Tag {
        static let followUps: UInt8 = 1
        static let cancels: UInt8 = 2
    }

    init(from reader: inout FieldReader) throws(TQError) {
        let lease = try reader.lease()
        self.init(lease: lease, result: try reader.payload(of: "result of task \(lease.task)"))
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.followUps:
                followUps = try reader.records(of: field, max: Limits.batchCountMax) { (reader) throws(TQError) in
                    try TaskSpec(from: &reader)
                }
            case Tag.cancels: cancels = try reader.taskIDs(of: field)
            default: if try !content.set(field, from: reader) { try reader.unknown(field) }
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(lease: lease)
        bytes.append(bytes: result)
        if !followUps.isEmpty {
            bytes.append(Tag.followUps)
            bytes.appendRecord { $0.append(records: followUps) { $1.write(to: &$0) } }
        }
        if !cancels.isEmpty {
            bytes.append(Tag.cancels)
            bytes.appendRecord { $0.append(list: cancels) { $0.append(taskID: $1) } }
        }
        content.write(to: &bytes)
    }

    func checkLimits() throws(TQError) {
        guard result.count <= Limits.payloadBytesMax else {
            throw .payloadTooLarge(result.count, of: "result of task \(lease.task)")
        }
        try content.type?.checkLength()
        for task in followUps { try task.checkLimits() }
    }
}

extension Failure {
    private enum Tag {
        static let isPermanent: UInt8 = 1
        static let retryAfterMilliseconds: UInt8 = 2
        static let pausesKey: UInt8 = 3
    }

    init(from reader: inout FieldReader) throws(TQError) {
        let lease = try reader.lease()
        self.init(lease: lease, error: try reader.payload(of: "error of task \(lease.task)"))
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.isPermanent: isPermanent = try reader.integer(of: field, as: UInt8.self) != 0
            case Tag.retryAfterMilliseconds: retryAfterMilliseconds = try reader.integer(of: field)
            case Tag.pausesKey: pausesKey = try reader.integer(of: field, as: UInt8.self) != 0
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(lease: lease)
        bytes.append(bytes: error)
        bytes.append(field: Tag.isPermanent, nonZero: isPermanent ? 1 as UInt8 : 0)
        bytes.append(field: Tag.retryAfterMilliseconds, integer: retryAfterMilliseconds)
        bytes.append(field: Tag.pausesKey, nonZero: pausesKey ? 1 as UInt8 : 0)
    }

    func checkLimits() throws(TQError) {
        guard error.count <= Limits.payloadBytesMax else {
            throw .payloadTooLarge(error.count, of: "error of task \(lease.task)")
        }
    }
}

extension Release {
    private static let delayTag: UInt8 = 1

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(lease: try reader.lease())
        while let field = try reader.nextField() {
            switch field.tag {
            case Self.delayTag: delayMilliseconds = try reader.integer(of: field)
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(lease: lease)
        bytes.append(field: Self.delayTag, nonZero: delayMilliseconds)
    }
}

extension Redrive {
    private static let payloadTag: UInt8 = 1

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(task: try reader.taskID())
        while let field = try reader.nextField() {
            switch field.tag {
            case Self.payloadTag: payload = reader.bytes(of: field)
            default: if try !content.set(field, from: reader) { try reader.unknown(field) }
            }
        }
        guard payload != nil || content == .unspecified else {
            throw reader.malformed("a redrive without a payload says what it is")
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(taskID: task)
        guard let payload else { return }
        bytes.append(field: Self.payloadTag, bytes: payload)
        content.write(to: &bytes)
    }

    func checkLimits() throws(TQError) {
        try content.type?.checkLength()
        guard let payload, payload.count > Limits.payloadBytesMax else { return }
        throw .payloadTooLarge(payload.count, of: "payload for task \(task)")
    }
}

extension Renewal {
    private static let leaseTag: UInt8 = 1
    private static let progressTag: UInt8 = 2
    private static let checkpointTag: UInt8 = 3

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(lease: try reader.lease())
        while let field = try reader.nextField() {
            switch field.tag {
            case Self.leaseTag: leaseMilliseconds = try reader.integer(of: field)
            case Self.progressTag: progress = try reader.progress(of: field)
            case Self.checkpointTag: checkpoint = reader.bytes(of: field)
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(lease: lease)
        bytes.append(field: Self.leaseTag, nonZero: leaseMilliseconds)
        if let progress { bytes.append(field: Self.progressTag, bytes: progress.field) }
        if let checkpoint { bytes.append(field: Self.checkpointTag, bytes: checkpoint) }
    }
}

extension Delivery {
    private static let tickTag: UInt8 = 1
    private static let checkpointTag: UInt8 = 2
    private static let dependenciesTag: UInt8 = 3

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(
            lease: try reader.lease(),
            queue: try reader.name(),
            type: try reader.name(),
            payload: try reader.bytes(),
            priority: Priority(try reader.integer()),
            attempt: try reader.integer(),
            retriesMax: try reader.integer(),
            leaseMilliseconds: try reader.integer(),
            timeoutMilliseconds: try reader.integer()
        )
        while let field = try reader.nextField() {
            switch field.tag {
            case Self.tickTag: tickWallMilliseconds = try reader.integer(of: field)
            case Self.checkpointTag: checkpoint = reader.bytes(of: field)
            case Self.dependenciesTag: dependencies = try reader.taskIDs(of: field)
            default: if try !content.set(field, from: reader) { try reader.unknown(field) }
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(lease: lease)
        bytes.append(name: queue)
        bytes.append(name: type)
        bytes.append(bytes: payload)
        bytes.append(priority.rawValue)
        bytes.append(integer: attempt)
        bytes.append(integer: retriesMax)
        bytes.append(integer: leaseMilliseconds)
        bytes.append(integer: timeoutMilliseconds)
        bytes.append(field: Self.tickTag, nonZero: tickWallMilliseconds)
        bytes.append(field: Self.checkpointTag, nonEmpty: checkpoint)
        if !dependencies.isEmpty {
            bytes.append(Self.dependenciesTag)
            bytes.appendRecord { $0.append(list: dependencies) { $0.append(taskID: $1) } }
        }
        content.write(to: &bytes)
    }
}
