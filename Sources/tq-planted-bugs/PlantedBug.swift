import CommandLineSupport

/// A bug that somebody could make: lines of the sources, and what stands there instead.
///
/// Tests/PlantedBugs/README.md describes the lists that bugs are read from.
struct PlantedBug: Sendable {
    let name: String
    var title = ""
    /// What may report it: invariants, or checks of the simulator itself.
    var breaks: [String] = []
    /// The tests that must find it.
    var hunters = ["simulate"]
    /// Whether the program may end by itself instead, because the bug breaks what the code relies on.
    var mayTrap = false
    var changes: [Change] = []

    /// Whole lines of one file, among them those around the change that make the place unique.
    struct Change: Sendable {
        let file: String
        var old: [Substring] = []
        var new: [Substring] = []
    }

    init(name: String) { self.name = name }
}

extension PlantedBug {
    /// The bugs of a list.
    ///
    /// - Parameter path: What error messages call the list.
    static func read(_ list: String, _ path: String) throws(CommandFailure) -> [PlantedBug] {
        var bugs: [PlantedBug] = []
        for (index, line) in list.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
        where !line.isEmpty && !line.hasPrefix("#") {
            let isUnderstood =
                if line.hasPrefix("bug: ") {
                    bugs.append(PlantedBug(name: String(line.dropFirst("bug: ".count)))) == ()
                } else {
                    bugs.last != nil && bugs[bugs.count - 1].take(line)
                }
            guard isUnderstood else { throw CommandFailure(.usage, "\(path):\(index + 1): '\(line)' means nothing.") }
        }
        return bugs
    }

    /// Takes a line of its entry; `false` when the line has no place in it.
    private mutating func take(_ line: Substring) -> Bool {
        if let mark = line.first, "-+ ".contains(mark) {
            guard !changes.isEmpty else { return false }
            if mark != "+" { changes[changes.count - 1].old.append(line.dropFirst()) }
            if mark != "-" { changes[changes.count - 1].new.append(line.dropFirst()) }
            return true
        }
        guard let colon = line.firstIndex(of: ":") else { return false }
        let text = String(line[colon...].dropFirst(2))
        switch line[..<colon] {
        case "title": title = text
        case "breaks": breaks = text.split(separator: " ").map(String.init)
        case "hunted by": hunters = text.split(separator: " ").map(String.init)
        case "caught by" where text == "trap": mayTrap = true
        case "file": changes.append(Change(file: text))
        default: return false
        }
        return true
    }
}

extension PlantedBug.Change {
    /// Replaces the old lines, which must be there once.
    ///
    /// - Parameter condition: What stands for "this bug is on" in Swift.
    func apply(to lines: inout [Substring], condition: String) throws(CommandFailure) {
        let places = lines.indices.filter { lines[$0...].starts(with: old) }
        guard !old.isEmpty, places.count == 1, let place = places.first else {
            let text = old.joined(separator: "\n")
            throw CommandFailure(.failed, "These lines are \(places.count) times in \(file), not once:\n\(text)")
        }
        lines.replaceSubrange(
            place..<place + old.count,
            with: new.map { Substring($0.replacing("PLANTED", with: condition)) }
        )
    }
}
