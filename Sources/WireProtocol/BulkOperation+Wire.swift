import TQModel

/// Bulk operations, and how far they are.
extension BulkSpec {
    private enum Tag {
        static let perSecond: UInt8 = 1
        static let queue: UInt8 = 2
        static let priority: UInt8 = 3
    }

    init(from reader: inout FieldReader) throws(TQError) {
        let number: UInt8 = try reader.integer()
        guard let kind = BulkChange.Kind(rawValue: number) else {
            throw reader.malformed("change \(number) of a bulk operation is not known")
        }
        let filter = try reader.record { (reader) throws(TQError) in try TaskFilter(from: &reader) }
        var (perSecond, queue, priority) = (0 as UInt32, nil as Name?, nil as Priority?)
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.perSecond: perSecond = try reader.integer(of: field)
            case Tag.queue: queue = try reader.name(of: field)
            case Tag.priority: priority = Priority(try reader.integer(of: field))
            default: try reader.unknown(field)
            }
        }
        let change: BulkChange? =
            switch (kind, queue, priority) {
            case (.redrive, nil, nil): .redrive
            case (.purge, nil, nil): .purge
            case (.cancel, nil, nil): .cancel
            case (.delete, nil, nil): .delete
            case (.move, let queue?, nil): .move(to: queue)
            case (.setPriority, nil, let priority?): .setPriority(priority)
            default: nil
            }
        guard let change else {
            throw reader.malformed("a bulk move names a queue, a change of priority names that, and no other one does")
        }
        self.init(change, filter: filter, perSecond: perSecond)
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(change.kind.rawValue)
        bytes.appendRecord { filter.write(to: &$0) }
        bytes.append(field: Tag.perSecond, nonZero: perSecond)
        switch change {
        case .redrive, .purge, .cancel, .delete: break
        case .move(let queue): bytes.append(field: Tag.queue, bytes: queue.bytes)
        case .setPriority(let priority): bytes.append(field: Tag.priority, integer: priority.rawValue)
        }
    }

    func checkLimits() throws(TQError) {
        try filter.checkLimits()
        if case .move(let queue) = change { try queue.checkLength() }
    }
}

extension BulkStatus {
    private enum Tag {
        static let problem: UInt8 = 1
    }

    init(from reader: inout FieldReader) throws(TQError) {
        let number: UInt32 = try reader.integer()
        let phaseNumber: UInt8 = try reader.integer()
        guard let phase = BulkPhase(rawValue: phaseNumber) else {
            throw reader.malformed("phase \(phaseNumber) of a bulk operation is not known")
        }
        let changed: UInt64 = try reader.integer()
        let refused: UInt64 = try reader.integer()
        let percent: UInt8 = try reader.integer()
        let start: UInt64 = try reader.integer()
        let end: UInt64 = try reader.integer()
        let spec = try reader.record { (reader) throws(TQError) in try BulkSpec(from: &reader) }
        self.init(
            number: number,
            spec: spec,
            phase: phase,
            changed: changed,
            refused: refused,
            percent: percent,
            startWallMilliseconds: start,
            endWallMilliseconds: end
        )
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.problem: problem = reader.bytes(of: field)
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(integer: number)
        bytes.append(phase.rawValue)
        bytes.append(integer: changed)
        bytes.append(integer: refused)
        bytes.append(percent)
        bytes.append(integer: startWallMilliseconds)
        bytes.append(integer: endWallMilliseconds)
        bytes.appendRecord { spec.write(to: &$0) }
        bytes.append(field: Tag.problem, nonEmpty: problem)
    }
}
