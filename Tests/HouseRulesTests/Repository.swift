import Foundation

/// The files of this repository as the house rules see them: paths and lines, no compiler.
enum Repository {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The files below a directory whose names end like that, in order; hidden ones and builds are left out.
    static func files(below directory: String, ending suffix: String) -> [SourceFile] {
        let base = directory.isEmpty ? root : root.appending(path: directory)
        guard
            let paths = FileManager.default.enumerator(
                at: base,
                includingPropertiesForKeys: nil,
                options: .skipsHiddenFiles
            )
        else { return [] }
        var files: [SourceFile] = []
        for case let url as URL in paths {
            if url.lastPathComponent == ".build" { paths.skipDescendants() }
            guard url.lastPathComponent.hasSuffix(suffix) else { continue }
            guard let text = try? String(contentsOf: url, encoding: .utf8) else { continue }
            files.append(SourceFile(path: String(url.path.dropFirst(root.path.count + 1)), text: text))
        }
        return files.sorted { $0.path < $1.path }
    }

    static let sources = files(below: "Sources", ending: ".swift")
    static let tests = files(below: "Tests", ending: ".swift")
    static let examples = files(below: "Examples", ending: ".swift")
    /// The scripts of the tools and of the examples; what stands beside them too.
    static let scripts = files(below: "tools", ending: "") + files(below: "Examples", ending: "")
    static let documents = files(below: "", ending: ".md")

    /// The names of the targets: the directories of Sources.
    static let targets = directories(of: "Sources")
    /// The names of the targets that are examples.
    static let exampleTargets = directories(of: "Examples")

    private static func directories(of parent: String) -> [String] {
        let urls = try? FileManager.default.contentsOfDirectory(
            at: root.appending(path: parent),
            includingPropertiesForKeys: [.isDirectoryKey],
            options: .skipsHiddenFiles
        )
        return (urls ?? []).filter(\.hasDirectoryPath).map(\.lastPathComponent).sorted()
    }

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appending(path: path).path)
    }
}

/// A file and its lines.
struct SourceFile: Sendable {
    let path: String
    let lines: [Substring]

    init(path: String, text: String) {
        self.path = path
        self.lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// The target that the file belongs to.
    var target: String { String(path.split(separator: "/").dropFirst().first ?? "") }

    /// The lines that hold code, with their numbers from 1.
    var code: [(number: Int, text: Substring)] {
        lines.enumerated().compactMap { index, line in
            line.drop { $0 == " " }.hasPrefix("//") ? nil : (index + 1, line)
        }
    }

    /// Where a word occurs in the code, as `path:line`.
    func places(of word: String, where isMeant: (Substring) -> Bool = { _ in true }) -> [String] {
        code.filter { $0.text.contains(word) && isMeant($0.text) }.map { "\(path):\($0.number)" }
    }
}
