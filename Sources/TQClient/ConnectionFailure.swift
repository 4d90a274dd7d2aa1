import Glibc
import NIOCore
import NIOPosix
import TQModel

/// What kept a connection from coming about, or ended it, in words that name the address.
extension TQError {
    /// What helps where no broker is reached.
    static let wayToABroker =
        "Start a broker with 'tq-broker', or name another address with --broker-addr or TQ_BROKER_ADDR."

    static func notConnected(to address: BrokerAddress, because error: any Error) -> TQError {
        if let error = error as? TQError { return error }
        let causes = (error as? NIOConnectionError)?.causes ?? [error]
        if causes.isEmpty { return TQError(.connectionFailed, "The host name \(address.host) cannot be looked up.") }
        // One cause for each address of the host: where they differ, a refusal tells least.
        let telling = causes.first { ($0 as? IOError)?.errnoCode != ECONNREFUSED }
        guard let telling else { return TQError(.connectionFailed, "Nothing listens at \(address).") }
        return TQError(.connectionFailed, "No connection to \(address): \(text(of: telling)).")
    }

    static func connectionBroke(to address: BrokerAddress, because error: any Error) -> TQError {
        TQError(.connectionFailed, "The connection to \(address) broke: \(text(of: error)).")
    }

    private static func text(of error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case ChannelError.connectTimeout(let limit): "no answer within \(limit.nanoseconds / 1_000_000) ms"
        default: "\(error)"
        }
    }
}

extension NIOConnectionError {
    /// One for each address that was tried; none where the host has no address.
    fileprivate var causes: [any Error] { connectionErrors.map(\.error) }
}
