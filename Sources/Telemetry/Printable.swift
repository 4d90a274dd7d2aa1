extension String {
    /// The text with control characters as escapes: it stays on its line, and no payload steers the terminal.
    public var printable: String {
        guard unicodeScalars.contains(where: \.isControl) else { return self }
        return unicodeScalars.map { $0.isControl ? $0.escaped(asASCII: true) : String($0) }.joined()
    }
}

extension Unicode.Scalar {
    /// Whether the scalar moves the cursor or the direction of the text instead of showing something.
    ///
    /// The joiner of emoji families is a format character too, and harmless.
    fileprivate var isControl: Bool {
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: true
        case .format: self != "\u{200d}"
        default: false
        }
    }
}
