import Glibc
import QueueCore
import Recurrence

/// The database of time zones on this machine.
enum ZoneFiles {
    /// Where Debian's package tzdata puts it; the C library looks there too.
    private static let directory = "/usr/share/zoneinfo"

    /// Reads what the file of a zone says; TZDIR names another directory, as for the C library.
    static func read(_ zone: ZoneName) -> Fetched {
        let directory = getenv("TZDIR").map { String(cString: $0) } ?? directory
        let path = "\(directory)/\(zone)"
        guard let file = fopen(path, "rb") else {
            let isThere = access(directory, R_OK) == 0
            let problem =
                isThere
                ? "there is no file \(path). Use a name of the IANA database such as Europe/Berlin."
                : "there is no directory \(directory). Install the package tzdata, or use UTC."
            return .damaged(problem)
        }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: ZoneRules.fileBytesMax + 1)
        let count = fread(&bytes, 1, bytes.count, file)
        do {
            return .zone(try ZoneRules(file: Array(bytes.prefix(count)), of: zone))
        } catch {
            return .damaged("\(error)")
        }
    }
}
