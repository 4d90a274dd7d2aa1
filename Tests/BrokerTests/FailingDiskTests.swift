import Broker
import ByteStore
import Glibc
import QueueCore
import Storage
import Synchronization
import TQClient
import TQModel
import Testing

@Suite("Failing disks", .timeLimit(.minutes(5)))
struct FailingDiskTests {
    @Test(
        "After a failed write nothing is guessed: the outcome is unknown, the store is rebuilt, and work goes on",
        arguments: FailingDevice.allCases
    )
    func failedWrite(device: FailingDevice) async throws {
        let directory = try ScratchDirectory()
        let broker = try await TestBroker.start(directory)
        let client = try await broker.client()
        let stored = try await client.submit(TaskSpec(type: "t", payload: bytes("stored")))
        let lease = try await client.claimOne()
        let plain = try await broker.client {
            $0.makesIdempotencyKeys = false; $0.submitPatience = .zero
        }
        let stream = try await RawPeer.greet(broker.port)
        try await stream.send([(2, .openStream(stream: 1, ClaimSpec(queues: ["s"])))])
        #expect(try await stream.reply() == (2, .done))
        // Without its mark the store cannot be rebuilt, so that the test sees the time in between.
        let mark = "\(directory.path)/data/mark"
        try #require(rename(mark, "\(mark).saved") == 0)
        try ScratchDirectory.write([1], to: mark)
        try device.replaceOpenFile(in: "\(directory.path)/data/db", suffix: ".log")
        #expect(await errorCode { try await plain.submit(TaskSpec(queue: "s", type: "t")) } == .outcomeUnknown)
        // A broker that waits for its store says so, and refuses what it would change.
        let observer = try await RawPeer.greet(broker.port)
        try await observer.send([(2, .health), (3, .submit([TaskSpec(type: "t")]))])
        guard case (2, .health(let health)) = try await observer.reply() else {
            throw TQError(.internalError, "no health")
        }
        #expect(health.status == .readOnly)
        #expect(try await observer.error() == (3, .readOnly))
        try #require(rename("\(mark).saved", mark) == 0)
        await broker.log.wait(for: "serving again")
        // The broker does not know the old connections any more, and no reply was made up for the stream.
        #expect(await observer.rest().isEmpty)
        #expect(await stream.rest().isEmpty)
        try await client.complete(lease, result: bytes("r"))
        #expect(try await client.waitForResult(stored, within: .zero).result == bytes("r"))
        let next = try await client.submit(TaskSpec(type: "t"))
        #expect(try await client.claimOne().lease.task == next)
        #expect(try await client.health().status == .serving)
        await plain.close()
        await client.close()
        await broker.broker.stop()
        let again = try await TestBroker.start(directory)
        await again.broker.stop()
    }

    @Test("A submit with an automatic key outlasts a failed write and is stored once")
    func submitOutlastsFailedWrite() async throws {
        let directory = try ScratchDirectory()
        let broker = try await TestBroker.start(directory)
        let client = try await broker.client()
        try FailingDevice.full.replaceOpenFile(in: "\(directory.path)/data/db", suffix: ".log")
        let id = try await client.submit(TaskSpec(type: "t"))
        await broker.log.wait(for: "serving again")
        #expect(try await client.status(id).state == .pending)
        #expect(try await client.queues().map(\.counts.pending) == [1])
        await client.close()
        await broker.broker.stop()
    }

    @Test("A broker whose store cannot be rebuilt can be stopped")
    func stopWhileFailing() async throws {
        let directory = try ScratchDirectory()
        let broker = try await TestBroker.start(directory)
        let client = try await broker.client {
            $0.makesIdempotencyKeys = false; $0.submitPatience = .zero
        }
        try FailingDevice.full.replaceOpenFile(in: "\(directory.path)/data/db", suffix: ".log")
        try #require(unlink("\(directory.path)/data/mark") == 0)
        try ScratchDirectory.write([1], to: "\(directory.path)/data/mark")
        #expect(await errorCode { try await client.submit(TaskSpec(type: "t")) } == .outcomeUnknown)
        await broker.log.wait(for: "cannot be rebuilt yet")
        #expect(await errorCode { try await client.submit(TaskSpec(type: "t")) } == .readOnly)
        await client.close()
        await broker.broker.stop()
    }

    @Test("What a failed sync left in memory alone is on the disk before it is served")
    func failedSync() async throws {
        guard let disk = try LoopDevice(memoryMegabytes: 40) else { return }
        let directory = try ScratchDirectory(disk.path)
        let data = "\(directory.path.dropFirst(disk.path.count + 1))/data"
        let broker = try await TestBroker.start(directory)
        let client = try await broker.client {
            $0.makesIdempotencyKeys = false; $0.submitPatience = .zero
        }
        var acknowledged: [TaskID] = []
        for _ in 0..<5 { acknowledged.append(try await client.submit(TaskSpec(type: "t"))) }
        try disk.exhaust()
        var refusal: TQError.Code?
        while refusal == nil {
            let payload = Bytes((0..<80_000).map { _ in UInt8.random(in: .min ... .max) })
            refusal = await errorCode {
                acknowledged.append(try await client.submit(TaskSpec(type: "t", payload: payload)))
            }
        }
        #expect(refusal == .outcomeUnknown)
        await broker.log.wait(for: "cannot be rebuilt yet")
        disk.relieve()
        await broker.log.wait(for: "serving again")
        let again = try await broker.client()
        let served = Int(try await again.statistics().counts.pending)
        #expect(served >= acknowledged.count)
        #expect(try disk.withPowerCut { try pendingTasks("\($0)/\(data)") } == served)
        await again.close()
        await client.close()
        await broker.broker.stop()
    }

    /// How many tasks wait in the store of a data directory.
    private func pendingTasks(_ path: String) throws -> Int {
        let store = try RocksDBStorage.open(path: "\(path)/db", options: .numbered, readOnly: true)
        defer { store.close() }
        let recovered = try Recovery.recover(from: store, mark: try HighWaterMark.read("\(path)/mark"))
        return Int(recovered?.index.counts.pending ?? 0)
    }

    @Test("A log whose end a failed sync left in pieces is cut behind what was acknowledged")
    func piecesOfALog() async throws {
        let directory = try ScratchDirectory()
        let broker = try await TestBroker.start(directory)
        let client = try await broker.client {
            $0.makesIdempotencyKeys = false; $0.submitPatience = .zero
        }
        let stored = try await client.submit(TaskSpec(type: "t"))
        let mark = "\(directory.path)/data/mark"
        try #require(rename(mark, "\(mark).saved") == 0)
        try ScratchDirectory.write([1], to: mark)
        try FailingDevice.withoutSync.replaceOpenFile(in: "\(directory.path)/data/db", suffix: ".log")
        #expect(await errorCode { try await client.submit(TaskSpec(type: "t")) } == .outcomeUnknown)
        await broker.log.wait(for: "cannot be rebuilt yet")
        // A whole record with a wrong checksum, and another behind it.
        let record: [UInt8] = [1, 2, 3, 4, 50, 0, 1] + [UInt8](repeating: 7, count: 50)
        for log in try directory.storeFiles(".log") {
            let bytes = try ScratchDirectory.read(log)
            if !bytes.isEmpty { try ScratchDirectory.write(bytes + record + record, to: log) }
        }
        try #require(rename("\(mark).saved", mark) == 0)
        await broker.log.wait(for: "serving again")
        let again = try await broker.client()
        #expect(try await again.status(stored).state == .pending)
        #expect(try await again.statistics().counts.pending == 1)
        await again.close()
        await client.close()
        await broker.broker.stop()
    }

    /// Free space that a test sets.
    private final class Disk: Sendable {
        let free = Atomic<UInt64>(1 << 30)
    }

    @Test("Below the reserve submits are refused and completions go on, until there is room again")
    func reserve() async throws {
        let disk = Disk()
        try await withBroker {
            $0.diskReserveBytes = 1 << 20
            $0.freeBytes = { _ in disk.free.load(ordering: .relaxed) }
        } _: { broker, client in
            try await client.submit(TaskSpec(type: "t"))
            let delivery = try await client.claimOne()
            disk.free.store(1, ordering: .relaxed)
            await broker.log.wait(for: "the disk is nearly full")
            let impatient = try await broker.client { $0.submitPatience = .zero }
            while try await client.health().status != .refusingSubmits {}
            #expect(await errorCode { try await impatient.submit(TaskSpec(type: "t")) } == .diskFull)
            try await client.complete(delivery, result: bytes("r"))
            async let waiting = client.submit(TaskSpec(type: "t"))
            disk.free.store(1 << 30, ordering: .relaxed)
            let id = try await waiting
            #expect(try await client.status(id).state == .pending)
            #expect(try await client.health().status == .serving)
            await impatient.close()
        }
    }

    @Test("On a full disk nothing acknowledged is lost, and the broker serves again when there is room")
    func fullDisk() async throws {
        let mountPoint = try ScratchDirectory()
        guard mount("tmpfs", mountPoint.path, "tmpfs", 0, "size=32m") == 0 else {
            return print("skipped: no tmpfs can be mounted here: \(String(cString: strerror(errno)))")
        }
        defer { umount2(mountPoint.path, CInt(MNT_DETACH)) }
        let broker = try await TestBroker.start(mountPoint) {
            $0.diskReserveBytes = 0
            $0.memtableBytes = 1 << 20
        }
        let client = try await broker.client {
            $0.makesIdempotencyKeys = false; $0.submitPatience = .zero
        }
        let payload = Bytes(repeating: 7, count: 256 * 1024)
        var acknowledged: [TaskID] = []
        let ballast = "\(mountPoint.path)/ballast"
        try fill(ballast, leaving: 4 << 20)
        var refusal: TQError.Code?
        while refusal == nil {
            refusal = await errorCode {
                acknowledged.append(try await client.submit(TaskSpec(type: "t", payload: payload)))
            }
        }
        #expect(refusal == .outcomeUnknown || refusal == .readOnly)
        #expect(!acknowledged.isEmpty)
        unlink(ballast)
        await broker.log.wait(for: "serving again")
        for id in acknowledged { #expect(try await client.status(id).state == .pending) }
        let next = try await client.submit(TaskSpec(type: "t"))
        #expect(try await client.status(next).state == .pending)
        await client.close()
        await broker.broker.stop()
    }

    /// Whether the disk fills up while the broker looks at it, or between two looks and with a write on its way.
    enum Filling: CaseIterable { case slow, sudden }

    @Test(
        "On a full disk completions, failures, renewals and cancels go on with the reserve",
        arguments: Filling.allCases
    )
    func reserveOnFullDisk(_ filling: Filling) async throws {
        let mountPoint = try ScratchDirectory()
        guard mount("tmpfs", mountPoint.path, "tmpfs", 0, "size=96m") == 0 else {
            return print("skipped: no tmpfs can be mounted here: \(String(cString: strerror(errno)))")
        }
        defer { umount2(mountPoint.path, CInt(MNT_DETACH)) }
        let broker = try await TestBroker.start(mountPoint) {
            $0.diskReserveBytes = 32 << 20
            $0.memtableBytes = 1 << 20
        }
        let client = try await broker.client { $0.submitPatience = .zero }
        let spec = TaskSpec(type: "t", payload: Bytes(repeating: 7, count: 500))
        _ = try await client.submit([TaskSpec](repeating: spec, count: 600))
        let leases = try await client.claim(ClaimSpec(queues: ["default"], count: 500, leaseMilliseconds: 600_000))
        try #require(leases.count == 500)
        let waiting = try await client.submit(TaskSpec(type: "t"))
        let reserve = "\(mountPoint.path)/data/reserve"
        while access(reserve, F_OK) != 0 { try await yieldUnlessCancelled() }
        let ballast = "\(mountPoint.path)/ballast"
        try fill(ballast, leaving: 0)
        switch filling {
        case .slow: await broker.log.wait(for: "the reserve was given up")
        case .sudden:
            // Too much for what is left in the log's last page.
            let result = Bytes(repeating: 1, count: 100_000)
            let code = await errorCode { try await client.complete(leases[0], result: result) }
            #expect(code == nil || code == .outcomeUnknown || code == .leaseLost)
            await broker.log.wait(for: "the reserve was given up")
        }
        for (place, lease) in leases.dropFirst().enumerated() {
            try await retrying {
                let renewal = Renewal(lease: lease.lease, leaseMilliseconds: 500_000)
                if let error = try await client.renew([renewal]).first ?? nil { throw error }
            }
            let result = Bytes(repeating: UInt8(place & 0xff), count: 10_000)
            if place % 2 == 0 {
                try await retrying { try await client.complete(lease, result: result) }
            } else {
                try await retrying { try await client.fail(lease, error: "e", isPermanent: true) }
            }
        }
        try await retrying { try await client.cancel(waiting) }
        #expect(await errorCode { try await client.submit(TaskSpec(type: "t")) } == .diskFull)
        unlink(ballast)
        await broker.log.wait(for: "the disk has room again")
        while access(reserve, F_OK) != 0 { try await yieldUnlessCancelled() }
        _ = try await client.submit(TaskSpec(type: "t"))
        let counts = try await client.statistics().counts
        #expect(counts.completed >= 250 && counts.deadLetter == 249 && counts.cancelled == 1)
        await client.close()
        await broker.broker.stop()
    }

    @Test("A broker starts on a full disk with its reserve")
    func startOnFullDisk() async throws {
        let mountPoint = try ScratchDirectory()
        guard mount("tmpfs", mountPoint.path, "tmpfs", 0, "size=96m") == 0 else {
            return print("skipped: no tmpfs can be mounted here: \(String(cString: strerror(errno)))")
        }
        defer { umount2(mountPoint.path, CInt(MNT_DETACH)) }
        func start() async throws -> TestBroker {
            try await TestBroker.start(mountPoint) {
                $0.diskReserveBytes = 32 << 20
                $0.memtableBytes = 1 << 20
            }
        }
        let first = try await start()
        while access("\(mountPoint.path)/data/reserve", F_OK) != 0 { try await yieldUnlessCancelled() }
        await first.broker.stop()
        try fill("\(mountPoint.path)/ballast", leaving: 0)
        let second = try await start()
        let client = try await second.client { $0.submitPatience = .zero }
        while try await client.health().status != .refusingSubmits {}
        #expect(await errorCode { try await client.submit(TaskSpec(type: "t")) } == .diskFull)
        await client.close()
        await second.broker.stop()
    }

    /// Lets others run; a test whose time is over is cancelled, and must not go on waiting.
    private func yieldUnlessCancelled() async throws {
        try Task.checkCancellation()
        await Task.yield()
    }

    /// Repeats what a broker that rebuilds refused; a completion whose outcome was unknown has lost its lease then.
    private func retrying(_ body: () async throws -> Void) async throws {
        while true {
            do { return try await body() } catch let error as TQError {
                guard error.code == .readOnly || error.code == .outcomeUnknown || error.code == .connectionFailed else {
                    throw error
                }
                try await yieldUnlessCancelled()
            }
        }
    }

    private func fill(_ path: String, leaving rest: UInt64) throws {
        var status = statvfs()
        try #require(statvfs(path.prefixUpToLastSlash, &status) == 0)
        let count = UInt64(status.f_bavail) * UInt64(status.f_frsize) - rest
        let descriptor = open(path, O_WRONLY | O_CREAT, 0o600)
        defer { close(descriptor) }
        try #require(posix_fallocate(descriptor, 0, off_t(count)) == 0)
    }
}

extension String {
    /// The directory of a path.
    fileprivate var prefixUpToLastSlash: String { String(self[..<(lastIndex(of: "/") ?? endIndex)]) }
}
