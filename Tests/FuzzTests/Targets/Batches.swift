import ByteStore
import TQModel

@testable import Storage

extension FuzzTarget {
    /// A batch as a follower gets it; the first byte says whether its checksums are made to fit.
    static let batches = FuzzTarget(
        name: "batches",
        summary: "atomic batches: their operations, and the effects that a follower reads from them",
        seeds: {
            let rows = try StoredRow.rows(ofFixture: StoredRow.fixture)
            let headers = rows.filter { $0.key == KeyLayout.header }
            let others = rows.filter { $0.family != .default }
            return [Batches.input(headers + others)] + others.map { Batches.input(headers + [$0]) }
        },
        run: { Batches.check($0) }
    )
}

private enum Batches {
    static func check(_ input: [UInt8]) {
        var image = Array(input.dropFirst())
        if input.first == 1 { seal(&image) }
        guard let batch = image.withUnsafeBytes({ try? WriteBatch(copying: $0) }) else { return }
        let copy = batch.withUnsafeBytes { Array($0) }
        expect(copy.dropFirst(8) == image.dropFirst(8), "A copied batch has other bytes.")
        try? InMemoryStorage().write(batch, sync: true)
        let committed = CommittedBatch(position: LogPosition(), previous: LogPosition(), image: image)
        _ = try? committed.effects()
    }

    static func input(_ rows: [StoredRow]) -> [UInt8] {
        let batch = WriteBatch()
        for row in rows { batch.put(row.family, key: row.key, value: row.value) }
        // One delete of each kind.
        if let row = rows.last {
            batch.delete(row.family, key: row.key)
            batch.singleDelete(row.family, key: row.key)
            batch.deleteRange(row.family, from: row.key, to: row.key + [0])
        }
        return [1] + batch.withUnsafeBytes { Array($0) }
    }

    private static func seal(_ image: inout [UInt8]) {
        var places: [(family: Family, key: [UInt8], value: Range<Int>)] = []
        image.withUnsafeBytes { bytes in
            _ = try? BatchImage.forEach(bytes) { operation throws(StorageError) in
                guard case .put(let family, let key, let value) = operation, let base = bytes.baseAddress,
                    let start = value.baseAddress.map({ $0 - base })
                else { return }
                places.append((family, [UInt8](key), start..<start + value.count))
            }
        }
        for place in places { replace(&image, place.value) { StoredRow.seal(&$0, place.family, place.key) } }
        guard let header = places.first, header.value.count == HeaderRecord.byteCount else { return }
        let checksum = CRC32C.checksum(of: image[header.value.upperBound...])
        replace(&image, header.value) { value in
            StoredRow.set(&value, at: 20, checksum)
            StoredRow.sealEnd(&value)
        }
    }

    private static func replace(_ image: inout [UInt8], _ place: Range<Int>, _ change: (inout [UInt8]) -> Void) {
        var value = Array(image[place])
        change(&value)
        image.replaceSubrange(place, with: value)
    }
}
