import Testing

@Suite("House rules: code")
struct CodeTests {
    @Test("only commands print")
    func printing() {
        for file in Repository.sources where !file.target.hasPrefix("tq-") && file.target != "CommandLineSupport" {
            let places = file.places(of: "print(") { !$0.contains(".print(") && !$0.contains("func print(") }
            #expect(places.isEmpty, "\(places)")
        }
    }

    @Test("tests wait for events, not for time")
    func sleeping() {
        let word = "sle" + "ep("
        let places = Repository.tests.flatMap { $0.places(of: word) }
        #expect(places.isEmpty, "\(places)")
    }

    @Test("nothing is left to be done later")
    func leftovers() {
        let words = ["FIX" + "ME", "TO" + "DO"]
        for file in Repository.sources + Repository.tests + Repository.documents + Repository.scripts {
            for (index, line) in file.lines.enumerated() {
                #expect(!words.contains { line.contains($0) }, "\(file.path):\(index + 1)")
            }
        }
    }

    /// Files that may be longer, each with its reason.
    private static let longFiles: [String: String] = [:]
    /// Functions that may be longer, each with its reason, by `path:name`.
    private static let longFunctions: [String: String] = [:]

    @Test("a file is about one noun: at most 600 lines")
    func fileLengths() {
        for file in Repository.sources + Repository.tests + Repository.examples where Self.longFiles[file.path] == nil {
            #expect(file.lines.count <= 600, "\(file.path) has \(file.lines.count) lines")
        }
    }

    @Test("a function is one thought: at most 120 lines")
    func functionLengths() {
        let functions = (Repository.sources + Repository.examples).flatMap(\.functions).sorted {
            $0.lineCount > $1.lineCount
        }
        for function in functions where Self.longFunctions[function.place] == nil {
            #expect(function.lineCount <= 120, "\(function.place) has \(function.lineCount) lines")
        }
        let above40 = functions.count { $0.lineCount > 40 }
        let longest = functions.prefix(3).map { "\($0.place) \($0.lineCount)" }.joined(separator: ", ")
        print("\(functions.count) functions, \(above40) of more than 40 lines; the longest: \(longest)")
    }

    @Test("every public declaration has a comment")
    func documentation() {
        let places = Repository.sources.flatMap(\.undocumentedDeclarations)
        #expect(places.isEmpty, "\(places.count): \(places.prefix(40).joined(separator: "\n"))")
    }
}

/// A function and how long it is.
private struct FunctionLength {
    let place: String
    let lineCount: Int
}

extension SourceFile {
    /// The functions of the file; the formatter's indentation says where each one ends.
    fileprivate var functions: [FunctionLength] {
        var functions: [FunctionLength] = []
        for (index, line) in lines.enumerated() where line.contains("func ") {
            let indentation = line.prefix { $0 == " " }
            let words = line.split(separator: " ")
            guard let keyword = words.firstIndex(of: "func"), keyword + 1 < words.count else { continue }
            guard !words[..<keyword].contains(where: { $0.hasPrefix("//") }) else { continue }
            let isClosing = { (bracket: String, line: Substring) in
                line.hasPrefix(indentation) && line.dropFirst(indentation.count).hasPrefix(bracket)
            }
            let rest = (index + 1)...
            let head = line.hasSuffix("(") ? lines[rest].first { isClosing(")", $0) } : line
            guard head?.hasSuffix("{") == true, let end = lines[rest].firstIndex(where: { isClosing("}", $0) })
            else { continue }
            let name = words[keyword + 1].prefix { $0 != "(" && $0 != "<" }
            functions.append(FunctionLength(place: "\(path):\(name)", lineCount: end - index + 1))
        }
        return functions
    }

    /// Public declarations without a comment; what a protocol of the standard library asks for needs none.
    fileprivate var undocumentedDeclarations: [String] {
        let known = [
            "init(", "init?(", "init<", "var description", "var debugDescription", "let rawValue", "var rawValue",
            "func ==", "func <", "func hash(", "func next(", "func encode(",
        ]
        return lines.indices.compactMap { index in
            let text = lines[index].drop { $0 == " " }
            let declaration = text.hasPrefix("@") ? text.drop { $0 != " " }.dropFirst() : text
            guard declaration.hasPrefix("public "), !declaration.hasPrefix("public import"),
                !declaration.hasPrefix("public extension"), !known.contains(where: { declaration.contains($0) })
            else { return nil }
            let above = lines[..<index].last { !$0.drop { $0 == " " }.hasPrefix("@") }
            let isDocumented = above?.drop { $0 == " " }.hasPrefix("///") ?? false
            return isDocumented ? nil : "\(path):\(index + 1) \(declaration)"
        }
    }
}
