import Configuration

extension ConfigurationKey {
    /// The provider's type for the key's values.
    var valueType: ConfigType {
        switch field {
        case .integer: .int
        case .boolean: .bool
        case .text, .choice, .path: .string
        case .list: .stringArray
        }
    }

    /// Takes the key's value from a layer that has it.
    ///
    /// - Returns: What is wrong with the value, as the end of a sentence; `nil` when it was taken.
    func read(from layer: ConfigurationLayer, into configuration: inout BrokerConfiguration) -> String? {
        let written = layer.writtenText(of: self)
        if case .list = field, isNull(written) { return nil }
        guard let content = layer.content(of: self, as: valueType) else {
            return "is \(shown(written)), \(expectation)"
        }
        switch (field, content) {
        case (.integer(let property, let range, let unit), .int(let number)):
            guard range.contains(number) else { return "is \(number), \(expectation)" }
            configuration[keyPath: property] = number * unit.rawValue
        case (.boolean(let property), .bool(let value)):
            configuration[keyPath: property] = value
        case (.text(let property), .string(let text)):
            guard !isNull(text) else { return "is empty, \(expectation)" }
            configuration[keyPath: property] = text
        case (.choice(let property, let words), .string(let word)):
            guard words.contains(word) else { return "is \(shown(word)), \(expectation)" }
            configuration[keyPath: property] = word
        case (.path(let property), .string(let path)):
            configuration[keyPath: property] = isNull(path) ? nil : path
        case (.list(let property), .stringArray(let texts)):
            configuration[keyPath: property] = texts.filter { !$0.isEmpty }
        default:
            return "is \(shown(written)), \(expectation)"
        }
        return nil
    }

    private var expectation: String {
        switch field {
        case .integer: "must be a whole number from \(rangeText)"
        case .boolean: "must be true or false"
        case .text: "must be a text"
        case .choice(_, let words): "must be one of \(words.joined(separator: ", "))"
        case .path: "must be a path or null"
        case .list: "must be a list, such as [a, b] in the file or a,b in the environment"
        }
    }

    private func shown(_ written: String?) -> String {
        guard let written, !isSecret else { return "of another kind" }
        return "'\(written.prefix(80))'"
    }
}

/// Whether a scalar of the file stands for nothing.
private func isNull(_ text: String?) -> Bool {
    guard let text else { return false }
    return ["", "~", "null"].contains(text.lowercased())
}
