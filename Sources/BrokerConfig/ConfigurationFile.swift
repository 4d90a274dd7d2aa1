import Configuration
import Glibc
import Synchronization

/// A YAML file with its values and the names it uses.
struct ConfigurationFile {
    let snapshot: any ConfigSnapshot
    /// What is wrong with the names, one sentence each.
    let unknownKeys: [String]

    /// No configuration is larger; more is a wrong path.
    private static let bytesMax = 1 << 20

    /// Reads and parses a file; `nil` when it says nothing, only comments for instance.
    static func read(_ path: String) throws(ConfigurationError) -> ConfigurationFile? {
        let bytes = try contents(of: path)
        if saysNothing(bytes) { return nil }
        let names = NameCollector()
        let snapshot: YAMLSnapshot
        do {
            snapshot = try YAMLSnapshot(
                data: bytes.span.bytes,
                providerName: path,
                parsingOptions: .init(secretsSpecifier: .dynamic { name, _ in names.collect(name) })
            )
        } catch {
            throw ConfigurationError(["\(path) is not a YAML file of sections with keys: \(error)"])
        }
        let unknownKeys = names.all.compactMap { name in
            isEmptySection(name, snapshot) ? nil : unknownKeyProblem(name, in: path)
        }
        return ConfigurationFile(snapshot: snapshot, unknownKeys: unknownKeys)
    }

    private static func unknownKeyProblem(_ name: String, in path: String) -> String? {
        if ConfigurationSchema.key(name) != nil { return nil }
        if ConfigurationKey.Section(rawValue: name) != nil {
            return "'\(name)' in \(path) is a section: write its keys below it, indented"
        }
        return "unknown key '\(name)' in \(path)\(suggestion(for: name))"
    }

    /// A section whose keys are all commented out is a key without a value.
    private static func isEmptySection(_ name: String, _ snapshot: YAMLSnapshot) -> Bool {
        guard ConfigurationKey.Section(rawValue: name) != nil,
            let found = try? snapshot.value(forKey: AbsoluteConfigKey([name]), type: .string),
            case .string(let text)? = found.value?.content
        else { return false }
        return text.isEmpty
    }

    /// The parser takes a file without any value for a mistake; for us it is a file that keeps all defaults.
    private static func saysNothing(_ bytes: [UInt8]) -> Bool {
        bytes.split(separator: UInt8(ascii: "\n")).allSatisfy { line in
            let first = line.first { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") && $0 != UInt8(ascii: "\r") }
            return first == nil || first == UInt8(ascii: "#") || line.elementsEqual("---".utf8)
        }
    }

    private static func contents(of path: String) throws(ConfigurationError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path) }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: bytesMax + 1)
        var count = 0
        while count < bytes.count {
            let read = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(descriptor, buffer.baseAddress?.advanced(by: count), buffer.count - count)
            }
            guard read >= 0 else {
                if errno == EINTR { continue }
                throw unreadable(path)
            }
            if read == 0 { return Array(bytes.prefix(count)) }
            count += read
        }
        throw ConfigurationError(["\(path) is larger than 1 MiB: is it a configuration file?"])
    }

    private static func unreadable(_ path: String) -> ConfigurationError {
        ConfigurationError(["cannot read \(path): \(String(cString: strerror(errno)))"])
    }
}

/// Gathers the names of all keys while the file is parsed.
///
/// The snapshot answers questions about known keys only, but it asks about every key whether it is a secret.
private final class NameCollector: Sendable {
    private let names = Mutex<[String]>([])

    var all: [String] { names.withLock { $0 } }

    func collect(_ name: String) -> Bool {
        names.withLock { $0.append(name) }
        return ConfigurationSchema.key(name)?.isSecret ?? true
    }
}
