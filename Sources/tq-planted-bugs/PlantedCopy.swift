import CommandLineSupport
import FoundationEssentials

/// A copy of the package in which every bug of the lists lies dormant, so that one build serves to hunt all of them.
///
/// TQ_PLANTED_BUG names the one that is on; the program reads it once.
struct PlantedCopy {
    /// The files of the copy by their paths in the package.
    private(set) var files: [String: Data] = [:]
    private let bugs: [PlantedBug]

    /// Directories that the manifest names too; nobody builds them here.
    private static let linked = ["Tests", "Examples"]

    private static let switchPath = "Sources/TQModel/PlantedBugSwitch.swift"

    /// - Throws: When a bug's lines are not in the sources, or when two bugs have one name.
    init(of root: String, with bugs: [PlantedBug]) throws {
        self.bugs = bugs
        if let twice = Dictionary(grouping: bugs, by: \.name).first(where: { $0.value.count > 1 }) {
            throw CommandFailure(.usage, "Two bugs have the name \(twice.key).")
        }
        for path in try filePaths(below: root + "/Sources").map({ "Sources/" + $0 }) + ["Package.swift"] {
            files[path] = try Data(contentsOf: URL(filePath: "\(root)/\(path)"))
        }
        for path in Set(bugs.flatMap(\.changes).map(\.file)).sorted() { try plant(in: path) }
        files[Self.switchPath] = Data(switchText.utf8)
    }

    private mutating func plant(in path: String) throws {
        guard let file = files[path] else { throw CommandFailure(.failed, "There is no \(path) to plant bugs in.") }
        let text = String(decoding: file, as: UTF8.self)
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, bug) in bugs.enumerated() {
            for change in bug.changes where change.file == path {
                do throws(CommandFailure) {
                    try change.apply(to: &lines, condition: "(plantedBug == \(index + 1))")
                } catch {
                    throw CommandFailure(.failed, "\(bug.name): \(error.description)")
                }
            }
        }
        let seesSwitch = path.hasPrefix("Sources/TQModel/") || lines.contains { $0.hasSuffix("import TQModel") }
        if !seesSwitch { lines.insert("import TQModel", at: 0) }
        files[path] = Data(lines.joined(separator: "\n").utf8)
    }

    private var switchText: String {
        """
        import Glibc

        /// The number of the bug that is on, 0 for none.
        public let plantedBug: Int = {
            guard let variable = getenv("TQ_PLANTED_BUG") else { return 0 }
            let names = \(bugs.map(\.name))
            if let index = names.firstIndex(of: String(cString: variable)) { return index + 1 }
            let complaint = "TQ_PLANTED_BUG names no planted bug: " + String(cString: variable) + "\\n"
            _ = complaint.withCString { write(STDERR_FILENO, $0, strlen($0)) }
            exit(64)
        }()

        """
    }

    /// Makes a directory hold these files and no others, leaving alone what is there already: a build is then as short as
    /// it can be.
    func write(to directory: String, beside root: String) throws {
        let manager = FileManager.default
        try manager.createDirectory(atPath: directory, withIntermediateDirectories: true)
        for path in try filePaths(below: directory)
        where files[path] == nil && !Self.linked.contains(where: path.hasPrefix) {
            try manager.removeItem(atPath: "\(directory)/\(path)")
        }
        for (path, data) in files where manager.contents(atPath: "\(directory)/\(path)") != data {
            let place = URL(filePath: "\(directory)/\(path)")
            try manager.createDirectory(at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
            try data.write(to: place)
        }
        for name in Self.linked where !manager.fileExists(atPath: "\(directory)/\(name)") {
            try manager.createSymbolicLink(atPath: "\(directory)/\(name)", withDestinationPath: "\(root)/\(name)")
        }
    }
}

/// The files below a directory, without those below links.
func filePaths(below directory: String) throws -> [String] {
    let manager = FileManager.default
    return try manager.subpathsOfDirectory(atPath: directory).filter { path in
        let type = try manager.attributesOfItem(atPath: "\(directory)/\(path)")[.type] as? FileAttributeType
        return type == .typeRegular
    }
}
