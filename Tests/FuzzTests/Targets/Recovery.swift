import ByteStore
import QueueCore
import TQModel

@testable import Storage

extension FuzzTarget {
    /// A store of arbitrary rows, as damage or another program may leave it: it is refused, or read and served.
    static let recovery = FuzzTarget(
        name: "recovery",
        summary: "stores of arbitrary rows: recovery, inspection, verification, the first requests",
        seeds: {
            let rows = try StoredRow.rows(ofFixture: StoredRow.fixture)
            let heads = rows.filter { $0.family == .default }
            return [rows, heads, heads + rows.filter { $0.family == .index || $0.family == .pending }]
                .map { $0.flatMap(\.bytes) }
        },
        run: { bytes in
            var input = ByteCursor(bytes)
            let batch = WriteBatch()
            while !input.isAtEnd {
                let row = StoredRow(from: &input)
                batch.put(row.family, key: row.key, value: row.value)
            }
            let store = InMemoryStorage()
            guard (try? store.write(batch, sync: true)) != nil else { return }
            _ = StoreVerification.verify(store, mark: nil) { expect(!$0.message.isEmpty, "a problem without words") }
            guard let inspection = try? StoreInspection(store, mark: nil) else { return }
            _ = try? inspection.summary()
            try? inspection.forEachTask(withPayloads: true) { _ in }
            serve(inspection, store)
        }
    )
}

/// What a broker does first with a store that it does not refuse.
private func serve(_ inspection: StoreInspection, _ store: InMemoryStorage) {
    let recovered = inspection.recovered
    let now = Now(monotonicMilliseconds: 5_000, wallMilliseconds: 1_700_000_000_000)
    let epoch = recovered.epoch + 1
    guard epoch <= GroupID.epochMax else { return }
    let log = CommitLog(store: store, position: recovered.position)
    guard (try? log.begin(epoch: epoch, index: recovered.index)) != nil else { return }
    var core = QueueCore(
        configuration: CoreConfiguration(),
        index: recovered.index,
        epoch: epoch,
        storeKey: recovered.identity.key,
        now: now
    )
    _ = core.decide(.openSession(1, SessionSettings()), now: now)
    for request in [.submit([TaskSpec(queue: "q", type: "t")]), .statistics, .queues, .workers] as [Request] {
        _ = core.decide(.request(1, id: 1, .anonymous, request), now: now)
    }
}
