import TQModel

/// Why a line is no event.
public struct LineError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Counted from 1.
    public var line: Int
    /// Counted from 1; 0 for the line as a whole.
    public var field: Int
    /// What was found instead of what had to be there.
    public var message: String

    public var description: String { "line \(line), field \(field): \(message)" }
}

/// Writes the fields of one line, with tabs between them.
struct LineWriter {
    private(set) var bytes: [UInt8]
    private var isFirst = true

    init(appendingTo bytes: consuming [UInt8]) { self.bytes = bytes }

    mutating func word(_ word: String) {
        if !isFirst { bytes.append(UInt8(ascii: "\t")) }
        isFirst = false
        bytes.append(contentsOf: word.utf8)
    }

    mutating func number(_ number: some UnsignedInteger) { word(String(number)) }

    mutating func number(_ number: (some UnsignedInteger)?) { word(number.map { String($0) } ?? "-") }

    mutating func flag(_ flag: Bool) { word(flag ? "1" : "0") }

    mutating func lease(_ lease: LeaseHandle) {
        word(lease.task.description)
        number(lease.token.rawValue)
    }

    mutating func end() { bytes.append(UInt8(ascii: "\n")) }
}

/// Reads the fields of one line; every surprise is an error, none a trap.
struct LineReader {
    private var rest: ArraySlice<UInt8>
    private var isAtEnd = false
    private let line: Int
    private var field = 0

    init(_ bytes: ArraySlice<UInt8>, line: Int) {
        self.rest = bytes
        self.line = line
    }

    mutating func word() throws(LineError) -> String {
        guard !isAtEnd else { throw error("the line ends too early") }
        field += 1
        let word = rest.prefix { $0 != UInt8(ascii: "\t") }
        isAtEnd = word.endIndex == rest.endIndex
        rest = isAtEnd ? [] : rest[(word.endIndex + 1)...]
        guard let text = String(validating: word, as: UTF8.self) else { throw error("this is not UTF-8") }
        return text
    }

    mutating func number<Number: UnsignedInteger & FixedWidthInteger>() throws(LineError) -> Number {
        let text = try word()
        guard let number = Number(text) else { throw error("\(text) is no number from 0 to \(Number.max)") }
        return number
    }

    mutating func optional<Number: UnsignedInteger & FixedWidthInteger>() throws(LineError) -> Number? {
        var peeked = self
        if try peeked.word() == "-" {
            self = peeked
            return nil
        }
        return try number() as Number
    }

    mutating func flag() throws(LineError) -> Bool {
        let value: UInt8 = try number()
        guard value <= 1 else { throw error("\(value) is neither 0 nor 1") }
        return value == 1
    }

    mutating func task() throws(LineError) -> TaskID {
        let text = try word()
        guard let id = TaskID(text) else { throw error("\(text) is no task id") }
        return id
    }

    mutating func lease() throws(LineError) -> LeaseHandle {
        LeaseHandle(task: try task(), token: LeaseToken(rawValue: try number()))
    }

    mutating func state() throws(LineError) -> TaskState {
        let text = try word()
        guard let state = TaskState(name: text) else { throw error("\(text) is no task state") }
        return state
    }

    mutating func digest() throws(LineError) -> Digest { Digest(rawValue: try number()) }

    mutating func optionalDigest() throws(LineError) -> Digest? {
        let number: UInt64? = try optional()
        return number.map { Digest(rawValue: $0) }
    }

    /// As many values as are left on the line.
    mutating func remaining<Value>(
        _ value: (inout LineReader) throws(LineError) -> Value
    ) throws(LineError) -> [Value] {
        var values: [Value] = []
        while !isAtEnd { values.append(try value(&self)) }
        return values
    }

    func end() throws(LineError) {
        if !isAtEnd { throw error("the line goes on") }
    }

    func error(_ message: String) -> LineError { LineError(line: line, field: field, message: message) }
}
