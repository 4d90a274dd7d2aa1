import TQModel

/// What a task depends on: one optional field, with the same tag in every record that has it.
extension Dependencies {
    static let tag: UInt8 = 25

    private enum Tag {
        static let condition: UInt8 = 1
        static let onFailure: UInt8 = 2
    }

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(on: try reader.taskIDs())
        try checkLimits()
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.condition:
                let number: UInt8 = try reader.integer(of: field)
                guard let condition = Condition(rawValue: number) else {
                    throw reader.malformed("condition \(number) of dependencies is not known; 1 is all, 2 is any")
                }
                self.condition = condition
            case Tag.onFailure:
                let number: UInt8 = try reader.integer(of: field)
                guard let onFailure = OnFailure(rawValue: number) else {
                    throw reader.malformed(
                        "\(number) says nothing of failed dependencies; 1 is cancel, 2 bury, 3 run, 4 wait"
                    )
                }
                self.onFailure = onFailure
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(Self.tag)
        bytes.appendRecord {
            $0.append(list: tasks) { $0.append(taskID: $1) }
            if condition != .all { $0.append(field: Tag.condition, integer: condition.rawValue) }
            if onFailure != .cancel { $0.append(field: Tag.onFailure, integer: onFailure.rawValue) }
        }
    }

    func checkLimits() throws(TQError) {
        guard tasks.count <= Limits.dependenciesMax else {
            throw TQError(
                .invalidArgument,
                "A task depends on 1 to \(Limits.dependenciesMax) others, not on \(tasks.count)."
            )
        }
    }
}
