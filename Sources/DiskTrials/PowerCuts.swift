import ByteStore
public import DiskFaults

/// Cuts the power again and again in what a journal tells, and shows what the next start finds.
public struct PowerCuts {
    private let replay: DiskReplay
    private let dataDirectory: String
    private let scratch: String
    private var count = 0

    /// - Parameters:
    ///   - journal: What happened to the directory.
    ///   - dataDirectory: The path of the data directory in it; empty for the directory itself.
    ///   - scratch: A directory for images, best in memory; one image at a time is in it.
    public init(_ journal: DiskJournal, dataDirectory: String, scratch: String) throws(DiskFailure) {
        replay = try DiskReplay(journal)
        self.dataDirectory = dataDirectory
        self.scratch = scratch
    }

    /// Makes an image of a cut, which must not lie before the last one, and hands out the path of its data directory.
    ///
    /// - Throws: What the body throws, or ``DiskFaults/DiskFailure``; the image stays then.
    public mutating func withImage<Result>(
        _ image: DiskImage,
        at cut: Int,
        _ body: (String) throws -> Result
    ) throws -> Result {
        count += 1
        let path = "\(scratch)/cut-\(cut)-\(count)"
        try replay.advance(to: cut)
        try replay.write(image, to: path)
        let result = try body(dataDirectory.isEmpty ? path : "\(path)/\(dataDirectory)")
        Salvage.removeTree(path)
        return result
    }
}
