public import Compression
public import Logging
public import NIOCore
import NIOPosix
public import TQModel

/// How a client behaves; every value has a default that suits most programs.
public struct ClientOptions: Sendable {
    /// Who connects, for the broker's lists and logs: a program and its version, at most 255 bytes.
    public var clientName = "tq-swift"
    /// How the session treats its leases.
    public var settings = SessionSettings()
    /// How long a submit that the broker refuses for now (queue full, draining, …) or cannot say the outcome of is tried
    /// again before it throws.
    public var submitPatience: Duration = .seconds(30)
    /// How long a request waits for a connection before it throws; `nil` for ever, zero for one try of each address.
    public var connectionPatience: Duration? = .seconds(30)
    /// How long one address may take to connect.
    public var connectTimeout: Duration = .seconds(5)
    /// How long it may take then to answer the hello, before it counts as no broker.
    public var helloTimeout: Duration = .seconds(5)
    /// The wait before the first reconnect, doubled for each further one, with jitter.
    public var reconnectDelayMin: Duration = .milliseconds(50)
    /// The longest wait between two reconnects.
    public var reconnectDelayMax: Duration = .seconds(2)
    /// After that much silence the client pings; after as much again the connection counts as lost.
    public var keepAlive: Duration = .seconds(10)
    /// Whether submits without a key get a random one, so that they can be sent again after a lost connection or a
    /// failed write.
    public var makesIdempotencyKeys = true
    /// Whether payloads and results are compressed before they are sent; what comes is decompressed in any case.
    public var compression = PayloadCompression.none
    /// Dictionaries that what comes may need, besides the one of ``compression``.
    public var dictionaries: [CompressionDictionary] = []
    /// The threads of the connections; the process's own group unless said otherwise.
    public var eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    /// How host names are looked up; the system's way unless a test says otherwise.
    var resolver: (any Resolver & Sendable)?
    /// Where connections and their ends are logged; nowhere unless said otherwise.
    public var logger = Logger(label: "tq.client") { _ in SwiftLogNoOpLogHandler() }

    public init() {}
}

extension Duration {
    /// The same time for SwiftNIO, at most some 292 years; 0 for less than nothing.
    var timeAmount: TimeAmount {
        let nanoseconds = Int128(components.seconds) * 1_000_000_000 + Int128(components.attoseconds / 1_000_000_000)
        return .nanoseconds(Int64(clamping: max(nanoseconds, 0)))
    }

    /// Whole milliseconds, rounded up; 0 for less than nothing.
    package var wholeMilliseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1000)
        return overflow ? .max : product + UInt64((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
