import Glibc
import Testing

/// A device put in the place of a file that this process has open, so that one store's writes or syncs fail.
enum FailingDevice: String, CaseIterable, CustomTestStringConvertible {
    /// Every write fails for lack of space.
    case full = "/dev/full"
    /// Writes vanish, every sync is an I/O error.
    case withoutSync = "/dev/null"

    var testDescription: String { rawValue }

    /// Redirects the open files of the directory whose names end so.
    func replaceOpenFile(in directory: String, suffix: String) throws {
        let device = open(rawValue, O_WRONLY)
        try #require(device >= 0)
        defer { close(device) }
        var replaced = 0
        for name in try ScratchDirectory.names(in: "/proc/self/fd") {
            var target = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/self/fd/\(name)", &target, target.count)
            guard count > 0, let descriptor = CInt(name) else { continue }
            let path = String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard path.hasPrefix("\(directory)/"), path.hasSuffix(suffix) else { continue }
            try #require(dup2(device, descriptor) == descriptor)
            replaced += 1
        }
        try #require(replaced == 1, "open \(suffix) files in \(directory)")
    }
}
