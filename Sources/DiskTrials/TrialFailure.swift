import Glibc

/// Why a trial could not be made; it says nothing of the store.
public struct TrialFailure: Error, CustomStringConvertible {
    /// What went wrong.
    public let description: String

    init(_ description: String) { self.description = description }

    static func system(_ action: String, _ path: String) -> TrialFailure {
        TrialFailure("Cannot \(action) \(path): \(String(cString: strerror(errno))).")
    }
}

func readText(_ path: String) throws(TrialFailure) -> String {
    guard let file = fopen(path, "re") else { throw .system("open", path) }
    defer { fclose(file) }
    var text: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&part, 1, part.count, file)
        guard count > 0 else { return String(decoding: text, as: UTF8.self) }
        text += part[..<count]
    }
}
