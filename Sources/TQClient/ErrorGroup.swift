public import TQModel

/// Tasks with about the same last error.
public struct ErrorGroup: Hashable, Sendable {
    /// What their errors have in common: the first line, with `#` for numbers and ids.
    public let pattern: String
    /// How many tasks there are.
    public private(set) var count: UInt64 = 0
    /// How many of them each queue has.
    public private(set) var queues: [Name: UInt64] = [:]
    /// When the first of them ended, in milliseconds since 1970.
    public private(set) var oldestWallMilliseconds: UInt64 = .max
    /// When the last of them ended, in milliseconds since 1970.
    public private(set) var newestWallMilliseconds: UInt64 = 0
    /// One of them.
    public let example: TaskID

    init(pattern: String, example: TaskID) { (self.pattern, self.example) = (pattern, example) }

    mutating func add(_ task: TaskStatus) {
        count += 1
        queues[task.queue, default: 0] += 1
        oldestWallMilliseconds = min(oldestWallMilliseconds, task.endWallMilliseconds)
        newestWallMilliseconds = max(newestWallMilliseconds, task.endWallMilliseconds)
    }

    /// The longest pattern, in characters.
    private static let patternMax = 160

    /// What errors that differ in numbers and ids alone have in common.
    ///
    /// "Timeout after 31 ms for 3fa85f64-5717" and "Timeout after 9 ms for 91b2cafe-0001" are both "Timeout after # ms for #".
    static func pattern(of error: Bytes) -> String {
        let line = String(decoding: error.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self).prefix(patternMax)
        var pattern = ""
        var word = ""
        for character in line {
            if character.isASCII, character.isLetter || character.isNumber || "-_".contains(character) {
                word.append(character)
            } else {
                pattern += generalized(word) + String(character)
                word = ""
            }
        }
        return pattern + generalized(word)
    }

    /// A word without its numbers.
    private static func generalized(_ word: String) -> String {
        guard word.contains(where: \.isNumber) else { return word }
        if word.allSatisfy({ $0.isHexDigit || $0 == "-" }) { return "#" }
        return word.replacing(/[0-9]+/, with: "#")
    }
}

extension TQClient {
    /// Tasks grouped by their last errors, the largest group first; all dead letters unless the filter says otherwise.
    ///
    /// Reads all tasks that the filter is for, a page at a time.
    ///
    /// - Parameter onProgress: Called now and then with how many tasks were read.
    public func errorGroups(
        matching filter: TaskFilter = TaskFilter(states: [.deadLetter]),
        onProgress: (UInt64) -> Void = { _ in }
    ) async throws(TQError) -> [ErrorGroup] {
        var groups: [String: ErrorGroup] = [:]
        var read: UInt64 = 0
        var tasks = tasks(matching: filter).makeAsyncIterator()
        while let task = try await tasks.next(isolation: nil) {
            let pattern = ErrorGroup.pattern(of: task.error)
            groups[pattern, default: ErrorGroup(pattern: pattern, example: task.id)].add(task)
            read += 1
            if read % 1000 == 0 { onProgress(read) }
        }
        return groups.values.sorted { ($0.count, $1.pattern) > ($1.count, $0.pattern) }
    }
}
