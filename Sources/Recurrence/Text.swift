/// A number of 1 to 4 digits and nothing else.
func shortNumber(_ digits: some Collection<UInt8>) -> Int? {
    guard (1...4).contains(digits.count), digits.allSatisfy({ isDigit($0) }) else { return nil }
    return digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
}

func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

func isLetter(_ byte: UInt8) -> Bool {
    let lowered = byte | 0x20
    return lowered >= UInt8(ascii: "a") && lowered <= UInt8(ascii: "z")
}

/// The words between blanks and tabs.
func words(_ bytes: some Collection<UInt8>) -> [[UInt8]] {
    bytes.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }.map { Array($0) }
}

/// Bytes as part of an error's sentence: not more than a line can take.
func quoted(_ bytes: some Collection<UInt8>) -> String { "'\(String(decoding: bytes.prefix(64), as: UTF8.self))'" }

/// The number with zeros before it.
func padded(_ number: Int, to count: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, count - digits.utf8.count)) + digits
}
