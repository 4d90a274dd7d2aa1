import CommandLineSupport
import Histogram
import NIOCore
import NIOPosix
import Synchronization
import TQModel

/// One measured run: its connections, what they count, and when it is over.
///
/// Everything happens on one event loop; what the main task reads meanwhile is atomic.
final class LoadRun: @unchecked Sendable {
    let queue: Name
    let type: Name = "bench"
    let payloadByteCount: Int
    let resultByteCount: Int
    private let total: Int
    private let goal: Goal
    private var left: Int
    private(set) var isOver = false

    private(set) var submitLatency = Histogram<UInt32>.latency
    private(set) var claimLatency = Histogram<UInt32>.latency
    private(set) var completeLatency = Histogram<UInt32>.latency
    private(set) var submittedCount = 0
    private(set) var claimedCount = 0
    private(set) var completedCount = 0
    private let done = Atomic(0)
    private let finish: EventLoopPromise<Void>

    /// The total of a run that somebody else ends.
    static let endless = Int.max

    /// What has to happen to all tasks before the run is over.
    enum Goal { case submitted, claimed, completed }

    init(
        total: Int,
        goal: Goal,
        queue: String,
        payloadByteCount: Int,
        resultByteCount: Int,
        submits: Bool = true,
        on loop: any EventLoop
    ) {
        self.total = total
        self.left = submits ? total : 0
        self.goal = goal
        self.queue = Name(queue)
        self.payloadByteCount = payloadByteCount
        self.resultByteCount = resultByteCount
        self.finish = loop.makePromise()
    }

    // MARK: What connections say

    /// How many more tasks may be submitted by one request, at most `count`.
    func takeSubmits(_ count: Int) -> Int {
        guard !isOver else { return 0 }
        let taken = min(count, left)
        left -= taken
        return taken
    }

    func submitted(_ count: Int, after time: TimeAmount) {
        submitLatency.record(microseconds(time), count: UInt32(count))
        submittedCount += count
        if goal == .submitted { progress(submittedCount) }
    }

    func claimed(after time: TimeAmount) {
        claimLatency.record(microseconds(time))
        claimedCount += 1
        if goal == .claimed { progress(claimedCount) }
    }

    func completed(_ count: Int, after time: TimeAmount) {
        completeLatency.record(microseconds(time), count: UInt32(count))
        completedCount += count
        if goal == .completed { progress(completedCount) }
    }

    func fail(_ text: String) {
        guard !isOver else { return }
        isOver = true
        finish.fail(CommandFailure(.failed, text))
    }

    func connectionClosed() { if !isOver { fail("The broker closed a connection.") } }

    private func progress(_ count: Int) {
        done.store(count, ordering: .relaxed)
        if count >= total { end() }
    }

    /// Ends a run before its goal; what has no answer yet is not counted.
    func end() {
        guard !isOver else { return }
        isOver = true
        finish.succeed(())
    }

    private func microseconds(_ time: TimeAmount) -> UInt64 {
        UInt64(min(max(1, time.nanoseconds / 1000), 60_000_000))
    }

    // MARK: Running

    /// Tasks that are through.
    var doneCount: Int { done.load(ordering: .relaxed) }

    /// Opens the connections and waits until the goal is reached.
    func execute(
        _ connections: [LoadConnection],
        host: String,
        port: Int,
        on group: any EventLoopGroup,
        label: String
    ) async throws {
        let loop = group.next()
        let bar = Progress(label, total: total == Self.endless ? nil : UInt64(total))
        let ticker = Task { [self] in
            while !Task.isCancelled {
                bar.update(UInt64(doneCount))
                try await Task.sleep(for: .milliseconds(200))
            }
        }
        defer {
            ticker.cancel()
            bar.finish(UInt64(doneCount))
        }
        for connection in connections {
            _ = try await ClientBootstrap(group: loop)
                .channelOption(.socketOption(.tcp_nodelay), value: 1)
                .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 256 * 1024))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(connection) }
                }
                .connect(host: host, port: port).get()
        }
        try await finish.futureResult.get()
        for connection in connections { loop.execute { connection.close() } }
    }
}

extension Histogram<UInt32> {
    /// Of latencies in microseconds, up to a minute.
    static var latency: Self { Self(highestTrackableValue: 60_000_000, numberOfSignificantValueDigits: .three) }
}
