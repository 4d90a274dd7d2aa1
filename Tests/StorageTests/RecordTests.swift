import ByteStore
import QueueCore
import TQModel
import Testing

@testable import Storage

@Suite struct RecordTests {
    @Test(arguments: RecordForm.allCases)
    func everyRecordReadsBackAsItWasWritten(_ form: RecordForm) throws {
        for seed in UInt64(1)...200 {
            var rows = RandomRows(seed: seed)
            let sample = form.sample(&rows)
            #expect(try sample.read(sample.key, sample.value) == sample.content, "\(form), seed \(seed)")
        }
    }

    @Test(arguments: RecordForm.allCases)
    func aRecordOfWhichBytesAreMissingOrTooManyIsDamaged(_ form: RecordForm) throws {
        for seed in UInt64(1)...20 {
            var rows = RandomRows(seed: seed)
            let sample = form.sample(&rows)
            for count in 0..<sample.value.count {
                expectDamage(sample, sample.value.prefix(count), "\(form), seed \(seed), first \(count) bytes")
            }
            expectDamage(sample, sample.value[...] + [0], "\(form), seed \(seed), one byte more")
        }
    }

    @Test(arguments: RecordForm.allCases)
    func aFlippedBitIsDamage(_ form: RecordForm) throws {
        for seed in UInt64(1)...6 {
            var rows = RandomRows(seed: seed)
            let sample = form.sample(&rows)
            for bit in 0..<sample.value.count * 8 {
                var value = sample.value
                value[bit / 8] ^= 1 << UInt8(bit % 8)
                expectDamage(sample, value[...], "\(form), seed \(seed), bit \(bit)")
            }
        }
    }

    @Test(arguments: RecordForm.allCases)
    func bytesThatAreNoRecordAreDamage(_ form: RecordForm) throws {
        var rows = RandomRows(seed: 99)
        let sample = form.sample(&rows)
        for _ in 0..<2000 {
            expectDamage(sample, rows.bytes(120)[...], "\(form), seed 99")
        }
    }

    private func expectDamage(_ sample: RecordSample, _ value: ArraySlice<UInt8>, _ place: @autoclosure () -> String) {
        do throws(StorageError) {
            let content = try sample.read(sample.key, Array(value))
            Issue.record("\(place()): read as \(content)")
        } catch {
            if error.kind != .corruption { Issue.record("\(place()): \(error)") }
        }
    }

    @Test func aDamagedBatchIsRefusedByItsFollowers() throws {
        let images = Images()
        let broker = try TestBroker(onBatch: { images.append($0) })
        _ = try broker.submit([TaskSpec(queue: "mail", type: "send", payload: [1, 2, 3])])
        let batch = try #require(images.all.last)
        let facts = try batch.effects().facts
        for bit in 0..<batch.image.count * 8 {
            var damaged = batch
            damaged.image[bit / 8] ^= 1 << UInt8(bit % 8)
            switch Result(catching: damaged.effects) {
            case .success(let effects):
                // RocksDB's own sequence number, the first 8 bytes, belongs to the store and not to the batch.
                #expect(effects.facts == facts && bit < 64, "bit \(bit)")
            case .failure(let error): #expect(error.kind == .corruption, "bit \(bit)")
            }
        }
    }
}
