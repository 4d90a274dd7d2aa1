public import TQModel

/// What runs a task: from its payload to its result.
public typealias RawHandler = @Sendable (_ payload: Bytes, _ context: TaskContext) async throws -> Bytes

/// The handlers of a worker by task type; an exact name wins over a prefix, a longer prefix over a shorter one.
struct Handlers: Sendable {
    private var exact: [Bytes: RawHandler] = [:]
    /// Longest prefix first.
    private var prefixes: [(prefix: Bytes, handler: RawHandler)] = []

    var isEmpty: Bool { exact.isEmpty && prefixes.isEmpty }

    /// What a worker with these handlers accepts.
    var patterns: [TypePattern] {
        exact.keys.map { TypePattern(bytes: $0) } + prefixes.map { TypePattern(bytes: $0.prefix + [UInt8(ascii: "*")]) }
    }

    mutating func add(_ pattern: TypePattern, _ handler: @escaping RawHandler) {
        guard pattern.bytes.last == UInt8(ascii: "*") else { return exact[pattern.bytes] = handler }
        let prefix = pattern.bytes.dropLast()
        prefixes.removeAll { $0.prefix == prefix }
        let index = prefixes.firstIndex { $0.prefix.count < prefix.count } ?? prefixes.endIndex
        prefixes.insert((prefix, handler), at: index)
    }

    func handler(for type: Name) -> RawHandler? {
        exact[type.bytes] ?? prefixes.first { type.bytes.starts(with: $0.prefix) }?.handler
    }
}
