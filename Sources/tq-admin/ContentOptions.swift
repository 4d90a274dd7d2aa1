import ArgumentParser
import CommandLineSupport
import Compression
import TQModel

/// What somebody may say of a payload that he gives.
struct ContentOptions: ParsableArguments {
    @Option(help: ArgumentHelp("What the payload is, such as application/json.", valueName: "type"))
    var contentType: String?
    @Flag(help: "Compress the payload with zstd when that makes it shorter; workers get it as it was.")
    var compress = false

    @OptionGroup var dictionary: DictionaryOption

    func validate() throws {
        if dictionary.dictionary != nil, !compress { throw ValidationError("--dictionary needs --compress.") }
    }

    /// What is said of the payload before it is compressed.
    var content: Content { Content(type: contentType.map { Name($0) }) }

    func compression() throws -> PayloadCompression {
        compress ? .zstd(from: 0, dictionary: try dictionary.read().first) : .none
    }
}

/// A dictionary of zstd.
struct DictionaryOption: ParsableArguments {
    @Option(help: ArgumentHelp("A file that zstd --train made, when it is compressed with it.", valueName: "file"))
    var dictionary: String?

    func read() throws -> [CompressionDictionary] {
        guard let dictionary else { return [] }
        return [try CompressionDictionary(readFile(dictionary)[...])]
    }
}
