import CommandLineSupport
import Histogram
import NIOCore
import NIOPosix
import TQClient
import TQModel
import WireProtocol

/// What hostile connections cost everybody else: submits at a fixed rate, in turns alone and beside them.
struct Neighbours {
    let broker: MeasuredBroker
    let group: MultiThreadedEventLoopGroup
    let rate: Int
    let tasks: Int

    private static let pairs = 5
    /// Of each kind of hostility.
    private static let connectionsPerKind = 16
    /// Names the queue of the large dead letter that deaf connections ask for.
    private static let queue: Name = "neighbours-large"

    func measure() async throws -> [Figure] {
        try await buryLargeTask()
        var quiet = Histogram<UInt32>.latency
        var disturbed = Histogram<UInt32>.latency
        var factors: [Double] = []
        var connects = 0
        for _ in 0..<Self.pairs {
            let alone = try await submits("alone")
            let crowd = try await HostileCrowd(broker, connectionsPerKind: Self.connectionsPerKind, asking: Self.queue)
            let beside: Histogram<UInt32>
            do {
                beside = try await submits("beside hostile connections")
            } catch {
                _ = try await crowd.disperse()
                throw error
            }
            connects += try await crowd.disperse()
            factors.append(Double(beside.valueAtPercentile(99)) / Double(alone.valueAtPercentile(99)))
            quiet.add(alone)
            disturbed.add(beside)
        }
        factors.sort()
        return LoadRun.figures("alone", quiet) + LoadRun.figures("beside", disturbed) + [
            Figure("hostile_connects", connects),
            Figure("p99_factor_median", factors[factors.count / 2]),
            Figure("p99_factor_max", factors[factors.count - 1]),
        ]
    }

    private func submits(_ label: String) async throws -> Histogram<UInt32> {
        let submits = SteadySubmits(broker: broker, group: group, queue: "neighbours", rate: rate)
        return try await submits.latency(of: tasks, label)
    }

    private func buryLargeTask() async throws {
        let client = try await TQClient.connect(to: "\(broker.host):\(broker.port)")
        try await client.submit(
            TaskSpec(queue: Self.queue, type: "large", payload: Bytes(repeating: 7, count: 1 << 20))
        )
        for delivery in try await client.claim(ClaimSpec(queues: [Self.queue])) {
            try await client.fail(delivery, error: "to be listed", isPermanent: true)
        }
        await client.close()
    }
}

/// What a hostile connection does.
private enum Hostility: CaseIterable {
    /// Opens, and says nothing.
    case silent
    /// Sends a hello byte by byte, and a wrong end.
    case dripping
    /// Sends noise.
    case babbling
    /// Asks for a megabyte over and over, and reads nothing.
    case deaf
}

/// Hostile connections of all kinds, on a thread of their own; who is thrown out comes back.
private final class HostileCrowd: @unchecked Sendable {
    let host: String
    let port: Int
    let queue: Name
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    // Only on the event loop.
    private var isOver = false
    private var channels: [ObjectIdentifier: any Channel] = [:]
    private var connects = 0

    init(_ broker: MeasuredBroker, connectionsPerKind: Int, asking queue: Name) async throws {
        host = broker.host
        port = broker.port
        self.queue = queue
        let all = Hostility.allCases.flatMap { Array(repeating: $0, count: connectionsPerKind) }
        try await group.next().submit { [self] in for kind in all { connect(kind) } }.get()
    }

    /// Closes them; how often one connected.
    func disperse() async throws -> Int {
        let count = try await group.next().submit { [self] in
            isOver = true
            for channel in channels.values { channel.close(promise: nil) }
            return connects
        }.get()
        try await group.shutdownGracefully()
        return count
    }

    fileprivate func connect(_ kind: Hostility) {
        guard !isOver else { return }
        connects += 1
        ClientBootstrap(group: group.next())
            .channelOption(.autoRead, value: kind != .deaf)
            .channelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(HostileConnection(kind, of: self))
                }
            }
            .connect(host: host, port: port)
            .whenComplete { [self] result in
                switch result {
                case .success(let channel) where isOver: channel.close(promise: nil)
                case .success(let channel): channels[ObjectIdentifier(channel)] = channel
                case .failure: comeBack(kind)
                }
            }
    }

    fileprivate func lost(_ channel: any Channel, _ kind: Hostility) {
        channels[ObjectIdentifier(channel)] = nil
        comeBack(kind)
    }

    private func comeBack(_ kind: Hostility) {
        guard !isOver else { return }
        group.next().scheduleTask(in: .milliseconds(10)) { [self] in connect(kind) }
    }
}

/// One hostile connection.
private final class HostileConnection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let kind: Hostility
    private let crowd: HostileCrowd
    private var random = SplitMix64(seed: 7)
    private var nextID: UInt32 = 1

    init(_ kind: Hostility, of crowd: HostileCrowd) {
        self.kind = kind
        self.crowd = crowd
    }

    func channelActive(context: ChannelHandlerContext) {
        switch kind {
        case .silent: break
        case .dripping:
            var hello: [UInt8] = []
            try? Hello(clientName: "dripping").encode(id: 1, into: &hello)
            every(.milliseconds(10), context) { hello.isEmpty ? nil : [hello.count > 1 ? hello.removeFirst() : 0] }
        case .babbling: send((0..<256).map { _ in UInt8(truncatingIfNeeded: self.random.next()) }, context)
        case .deaf:
            var hello: [UInt8] = []
            try? Hello(clientName: "deaf").encode(id: 0xffff_ffff, into: &hello)
            send(hello, context)
            every(.milliseconds(1), context) { self.question() }
        }
    }

    func channelInactive(context: ChannelHandlerContext) { crowd.lost(context.channel, kind) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func question() -> [UInt8] {
        var bytes: [UInt8] = []
        nextID += 1
        try? Request.deadLetters(DeadLetterQuery(queue: crowd.queue)).encode(id: nextID, into: &bytes)
        return bytes
    }

    /// Sends what `next` gives, as long as the connection takes it.
    private func every(_ time: TimeAmount, _ context: ChannelHandlerContext, _ next: @escaping () -> [UInt8]?) {
        let bound = NIOLoopBound((context: context, next: next), eventLoop: context.eventLoop)
        context.eventLoop.scheduleRepeatedTask(initialDelay: time, delay: time) { [self] task in
            let (context, next) = bound.value
            guard context.channel.isActive else { return task.cancel() }
            if context.channel.isWritable, let bytes = next() { send(bytes, context) }
        }
    }

    private func send(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
    }
}
