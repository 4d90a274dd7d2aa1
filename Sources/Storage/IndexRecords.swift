import ByteStore
import QueueCore
import TQModel

/// A name: table header (extra = namespace; everything is covered), then the bytes of the name.
enum NameRecord {
    static func write(_ row: NameRow, to batch: WriteBatch) {
        let name = row.name.bytes
        batch.put(
            .index,
            key: KeyLayout.name(row.kind, row.number),
            valueByteCount: TableHeader.byteCount + name.count
        ) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            writer.write(name)
            TableHeader(count: 1, extra: row.namespace).seal(value, covered: name.count)
        }
    }

    static func read(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StorageError) -> NameRow {
        var keyReader = KeyReader(key)
        _ = try keyReader.read(UInt8.self)
        let kind: UInt8 = try keyReader.read()
        let number: UInt32 = try keyReader.read()
        try keyReader.end()
        var (header, reader) = try TableHeader.open(value, "name") { _ in value.count - TableHeader.byteCount }
        guard let kind = NameKind(rawValue: kind), number > 0, number <= kind.countMax else {
            throw reader.corrupt("kind \(kind), number \(number)")
        }
        let bytes = try reader.bytes(reader.remaining)
        return NameRow(kind: kind, number: number, namespace: header.extra, name: Name(bytes: Bytes(Array(bytes))))
    }
}

/// A worker: table header (extra = namespace; everything is covered), concurrency u32, length of the name u16, the
/// name, the metadata.
enum WorkerRecord {
    static func write(_ row: WorkerRow, to batch: WriteBatch) {
        let name = row.spec.name.bytes
        let covered = 6 + name.count + row.spec.metadata.count
        batch.put(.index, key: KeyLayout.worker(row.number), valueByteCount: TableHeader.byteCount + covered) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            writer.write(row.spec.concurrency)
            writer.write(UInt16(name.count))
            writer.write(name)
            writer.write(row.spec.metadata)
            TableHeader(count: 1, extra: row.namespace).seal(value, covered: covered)
        }
    }

    static func read(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StorageError) -> WorkerRow {
        var keyReader = KeyReader(key)
        _ = try keyReader.read(UInt8.self)
        let number: UInt32 = try keyReader.read()
        try keyReader.end()
        var (header, reader) = try TableHeader.open(value, "worker") { _ in value.count - TableHeader.byteCount }
        let concurrency: UInt32 = try reader.read()
        let name = try reader.bytes(Int(try reader.read(UInt16.self)))
        let metadata = try reader.bytes(reader.remaining)
        let spec = WorkerSpec(
            name: Name(bytes: Bytes(Array(name))),
            metadata: Bytes(Array(metadata)),
            concurrency: concurrency
        )
        return WorkerRow(number: number, namespace: header.extra, spec: spec)
    }
}

/// The idempotency keys that a group brought and that expire together.
///
/// Behind the table header, entries of 40 bytes: hash u64 and u64, sequence u64, created u64, content hash u64.
enum IdempotencyTable {
    private static let entryByteCount = 40

    static func write(_ rows: [KeyRow], bucket: ExpiryBucket, group: GroupID, to batch: WriteBatch) {
        let covered = rows.count * entryByteCount
        batch.put(
            .index,
            key: KeyLayout.keys(bucket, group),
            valueByteCount: TableHeader.byteCount + covered
        ) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            for row in rows {
                writer.write(row.key.high)
                writer.write(row.key.low)
                writer.write(row.sequence.rawValue)
                writer.write(row.createdMilliseconds)
                writer.write(row.contentHash)
            }
            TableHeader(entryByteCount: UInt16(entryByteCount), count: UInt32(rows.count))
                .seal(value, covered: covered)
        }
    }

    static func read(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StorageError) -> [KeyRow] {
        var keyReader = KeyReader(key)
        _ = try keyReader.read(UInt8.self)
        let bucket = ExpiryBucket(rawValue: try keyReader.read())
        _ = try keyReader.read(UInt64.self)
        try keyReader.end()
        var (header, reader) = try TableHeader.open(value, "idempotency table") { Int($0.count) * entryByteCount }
        var rows: [KeyRow] = []
        rows.reserveCapacity(Int(header.count))
        for _ in 0..<header.count {
            let key = KeyHash(high: try reader.read(), low: try reader.read())
            let sequence: UInt64 = try reader.read()
            let created: UInt64 = try reader.read()
            rows.append(
                KeyRow(
                    key: key,
                    sequence: TaskSequence(sequence),
                    createdMilliseconds: created,
                    contentHash: try reader.read(),
                    bucket: bucket
                )
            )
        }
        try reader.end()
        return rows
    }
}

/// The unique key of a dead letter: table header (count 1; everything is covered), hash u64 and u64, created u64.
enum DeadHoldRecord {
    static func write(_ hold: DeadHold, to batch: WriteBatch) {
        batch.put(
            .index,
            key: KeyLayout.deadHold(hold.sequence),
            valueByteCount: TableHeader.byteCount + 24
        ) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            writer.write(hold.hash.high)
            writer.write(hold.hash.low)
            writer.write(hold.createdMilliseconds)
            TableHeader(count: 1).seal(value, covered: 24)
        }
    }

    static func read(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StorageError) -> DeadHold {
        var keyReader = KeyReader(key)
        _ = try keyReader.read(UInt8.self)
        let sequence = TaskSequence(try keyReader.read())
        try keyReader.end()
        var (_, reader) = try TableHeader.open(value, "unique key") { _ in 24 }
        let hash = KeyHash(high: try reader.read(), low: try reader.read())
        let hold = DeadHold(hash: hash, sequence: sequence, createdMilliseconds: try reader.read())
        try reader.end()
        return hold
    }
}

/// Where the outcomes of a dead segment's tasks are.
///
/// Behind the table header (count; everything is covered) either form 0: bucket u32 and group u64 that all share, then for
/// each task u32, the distance of its group, or 2^32-1 for a task without outcome here; or form 1, when form 0 cannot
/// say it: for each task bucket u32, group u64, part u16, with bucket 0 for none.
enum LocatorRecord {
    private static let absent: UInt32 = .max

    static func write(_ locator: Locator, to batch: WriteBatch) {
        guard let last = locator.bucket else { return }
        let compact = Compact(locator.locations)
        let covered = compact == nil ? locator.locations.count * 14 : 12 + locator.locations.count * 4
        batch.put(
            .index,
            key: KeyLayout.locator(locator.key),
            valueByteCount: TableHeader.byteCount + covered
        ) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            if let compact {
                writer.write(compact.bucket.rawValue)
                writer.write(compact.base.rawValue)
                for location in locator.locations {
                    writer.write(location.map { UInt32($0.group.rawValue - compact.base.rawValue) } ?? absent)
                }
            } else {
                for location in locator.locations {
                    writer.write(location?.bucket.rawValue ?? 0)
                    writer.write(location?.group.rawValue ?? 0)
                    writer.write(location?.part ?? 0)
                }
            }
            TableHeader(form: compact == nil ? 1 : 0, count: UInt32(locator.locations.count))
                .seal(value, covered: covered)
        }
        batch.put(.index, key: KeyLayout.expiry(ExpiringRecord(.locator(locator.key), bucket: last)), value: [])
    }

    static func read(
        key: UnsafeRawBufferPointer,
        value: UnsafeRawBufferPointer
    ) throws(StorageError) -> Locator {
        let key = try KeyReader.locator(key)
        var (header, reader) = try TableHeader.open(value, "locator") { _ in value.count - TableHeader.byteCount }
        guard Int(header.count) <= reader.remaining / 4 else {
            throw reader.corrupt("\(header.count) entries in \(reader.remaining) bytes")
        }
        var locations: [OutcomeLocation?] = []
        locations.reserveCapacity(Int(header.count))
        if header.form == 0 {
            let bucket = ExpiryBucket(rawValue: try reader.read())
            let base: UInt64 = try reader.read()
            guard bucket.rawValue != 0 else { throw reader.corrupt("bucket 0") }
            for _ in 0..<header.count {
                let distance: UInt32 = try reader.read()
                let (group, isOverflow) = base.addingReportingOverflow(UInt64(distance))
                guard distance != absent else {
                    locations.append(nil)
                    continue
                }
                guard !isOverflow else { throw reader.corrupt("\(distance) groups after group \(base)") }
                locations.append(OutcomeLocation(bucket: bucket, group: GroupID(rawValue: group), part: 0))
            }
        } else {
            for _ in 0..<header.count {
                let bucket = ExpiryBucket(rawValue: try reader.read())
                let group = GroupID(rawValue: try reader.read())
                let part: UInt16 = try reader.read()
                locations.append(
                    bucket.rawValue == 0 ? nil : OutcomeLocation(bucket: bucket, group: group, part: part)
                )
            }
        }
        try reader.end()
        return Locator(key: key, locations: locations)
    }

    /// What all locations of a record share, when they do and the distances fit.
    private struct Compact {
        var bucket: ExpiryBucket
        var base: GroupID

        init?(_ locations: [OutcomeLocation?]) {
            guard let first = locations.lazy.compactMap({ $0 }).first else { return nil }
            var base = first.group
            var top = first.group
            for location in locations.lazy.compactMap({ $0 }) {
                guard location.bucket == first.bucket, location.part == 0 else { return nil }
                base = min(base, location.group)
                top = max(top, location.group)
            }
            guard top.rawValue - base.rawValue < UInt64(LocatorRecord.absent) else { return nil }
            self.bucket = first.bucket
            self.base = base
        }
    }
}

/// A counter: table header (count 1; everything is covered), then the value u64.
enum CounterRecord {
    static func write(_ row: CounterRow, to batch: WriteBatch) {
        guard row.value > 0 else { return batch.delete(.index, key: KeyLayout.counter(row.key)) }
        batch.put(.index, key: KeyLayout.counter(row.key), valueByteCount: TableHeader.byteCount + 8) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            writer.write(row.value)
            TableHeader(count: 1).seal(value, covered: 8)
        }
    }

    static func read(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StorageError) -> CounterRow {
        let key = try KeyReader.counter(key)
        var (_, reader) = try TableHeader.open(value, "counter") { _ in 8 }
        let row = CounterRow(key: key, value: try reader.read())
        try reader.end()
        return row
    }
}
